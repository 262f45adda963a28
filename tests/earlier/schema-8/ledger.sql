BEGIN TRANSACTION;
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, epoch INTEGER NOT NULL, ref TEXT NOT NULL, number INTEGER NOT NULL,
    started REAL NOT NULL, ended REAL NOT NULL, outcome TEXT NOT NULL, kind TEXT NOT NULL, sent TEXT NOT NULL,
    message TEXT NOT NULL, cost TEXT, run TEXT NOT NULL DEFAULT '', job TEXT NOT NULL DEFAULT '', nanos INTEGER) STRICT;
INSERT INTO "attempts" VALUES(1,'8e1af22b4d2e2d08ceb332a571233a6a7fe8b2accd73a262c2846a94349b7f68',1,'mock:text',1,1.79530302294909691811e+09,1.79530302295131754877e+09,'succeeded','','','','{"low":"0","high":"0","reason":""}','dcca6536f778','line',0);
INSERT INTO "attempts" VALUES(2,'4b892f810d1f1079dcc53dec8e4fcb5bc524996aa3324a7fb4a605185ccf9ae0',1,'mock:image-job',1,1.79530302296001315117e+09,1.79530302296798276902e+09,'succeeded','','','','{"low":"0","high":"0","reason":""}','dcca6536f778','picture',0);
CREATE TABLE breakers (
    scope TEXT NOT NULL, name TEXT NOT NULL, provider TEXT NOT NULL, failures INTEGER NOT NULL, kind TEXT NOT NULL,
    message TEXT NOT NULL, failed REAL NOT NULL, until REAL NOT NULL, cooldown REAL NOT NULL, probe TEXT NOT NULL,
    PRIMARY KEY (scope, name)) STRICT;
CREATE TABLE calls (
    key TEXT PRIMARY KEY, state TEXT NOT NULL, ref TEXT NOT NULL, operation TEXT NOT NULL, job TEXT NOT NULL,
    run TEXT NOT NULL, owner TEXT NOT NULL, epoch INTEGER NOT NULL, request_digest TEXT NOT NULL,
    request TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, request_id TEXT NOT NULL DEFAULT '',
    receipt TEXT, result TEXT, failure TEXT) STRICT;
INSERT INTO "calls" VALUES('8e1af22b4d2e2d08ceb332a571233a6a7fe8b2accd73a262c2846a94349b7f68','succeeded','mock:text','text.generate','line','dcca6536f778','d58fb271a4f54d8e8ccc0dd71d2923aa',1,'c58c690a612f829573d770d318e5f5c0168d647308c4a06826a029b1bd048299','{"body":{"model":"text","inputs":{"prompt":"One line about a volcano."},"options":{}},"units":{"run":1.0},"mode":"mock"}',1.79530302294850873951e+09,1.79530302295134377476e+09,'',NULL,'{"artifacts":[{"text":"The misty echo leaves the ridge before the hill. The calm melody watches the light beside the shepherd and horizon. The pale shore shapes the crew near the cold avalanche. The tall frame reaches the actor. The silent crew holds the river beneath the village and ridge. The strange camera keeps the wide film. The golden winter reveals the rock before the cold voice.","media_type":"text/plain","kind":"text"}],"usage":{"input_tokens":5,"output_tokens":60,"cached_tokens":null,"reasoning_tokens":null,"units":{}},"warnings":[],"finish":"stop","cost":null,"meta":{"mocked":true},"parts":[]}',NULL);
INSERT INTO "calls" VALUES('4b892f810d1f1079dcc53dec8e4fcb5bc524996aa3324a7fb4a605185ccf9ae0','succeeded','mock:image-job','image.generate','picture','dcca6536f778','d58fb271a4f54d8e8ccc0dd71d2923aa',1,'80b58bf7c25cc2dd2d0657f9de53d61b99aee19970ae40fca691dbd7280f766c','{"body":{"model":"image-job","inputs":{"prompt":"The misty echo leaves the ridge before the hill. The calm melody watches the light beside the shepherd and horizon. The pale shore shapes the crew near the cold avalanche. The tall frame reaches the actor. The silent crew holds the river beneath the village and ridge. The strange camera keeps the wide film. The golden winter reveals the rock before the cold voice.","size":"32x32","count":1},"options":{}},"units":{"run":1.0,"image":1.0},"expects":[{"kind":"blob","media_type":"image/png","count":1,"width":32,"height":32}],"mode":"mock"}',1.79530302295964264876e+09,1.79530302296800565713e+09,'','{"ref":{"provider":"mock","model":"image-job","environment":"local"},"operation":"image.generate","job_id":"bf00482610d24e49bfd5f21590b29edd","key":"4b892f810d1f1079dcc53dec8e4fcb5bc524996aa3324a7fb4a605185ccf9ae0","request_digest":"80b58bf7c25cc2dd2d0657f9de53d61b99aee19970ae40fca691dbd7280f766c","expects":[{"kind":"blob","media_type":"image/png","count":1,"width":32,"height":32,"duration":null,"fps":null,"audio":null,"schema":null}],"created":1795303022.9608676,"expires":null,"origin":"mock","account":"","state":{"sample":0,"caption":"The misty echo leaves the ridge before the hill. The calm melody watches the light beside the shepherd and horizon. The pale shore shapes the crew near the cold","ready":1795303022.9608676,"hangs":false,"fails":false},"version":1}','{"artifacts":[{"file":{"sha256":"fe69a78c1d119580fbcec4c812da073d668e8931b61e8a5a6224734b624349ba","media_type":"image/png","bytes":427,"name":""},"width":32,"height":32,"duration":null,"kind":"blob"}],"usage":{"input_tokens":null,"output_tokens":null,"cached_tokens":null,"reasoning_tokens":null,"units":{}},"warnings":[],"finish":"stop","cost":null,"meta":{"mocked":true},"parts":[]}',NULL);
CREATE TABLE chats (
    id TEXT PRIMARY KEY, ref TEXT NOT NULL, mode TEXT NOT NULL, system TEXT NOT NULL, started REAL NOT NULL,
    updated REAL NOT NULL) STRICT;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, at REAL NOT NULL, type TEXT NOT NULL,
    job TEXT NOT NULL, body TEXT NOT NULL) STRICT;
INSERT INTO "events" VALUES(1,'dcca6536f778',1.79530302288546156882e+09,'run.started','','{"sheet":"sheet.toml","mode":"mock"}');
INSERT INTO "events" VALUES(2,'dcca6536f778',1.79530302294850873951e+09,'job.started','line','{"key":"8e1af22b4d2e2d08ceb332a571233a6a7fe8b2accd73a262c2846a94349b7f68","ref":"mock:text"}');
INSERT INTO "events" VALUES(3,'dcca6536f778',1.79530302294928145409e+09,'job.sending','line','{"key":"8e1af22b4d2e2d08ceb332a571233a6a7fe8b2accd73a262c2846a94349b7f68","ref":"mock:text"}');
INSERT INTO "events" VALUES(4,'dcca6536f778',1.79530302295134377476e+09,'job.succeeded','line','{"key":"8e1af22b4d2e2d08ceb332a571233a6a7fe8b2accd73a262c2846a94349b7f68","ref":"mock:text","sample":0,"cost":{"usd":"0.00"},"artifacts":[{"kind":"text","media_type":"text/plain","sha256":"bb1accbf9e6acbf243b5e1cc531867ba84f23601decd89335a7cc8e60ab9eb62","bytes":366}],"finish":"stop","meta":{"mocked":true},"usage":{"input_tokens":5,"output_tokens":60},"operation":"text.generate","inputs":{"prompt":"One line about a volcano."},"upstream":[],"mode":"mock","mapping":"checked","mocked":true,"warnings":[],"reason":"new","detail":"","number":1,"began":1795303022.949097}');
INSERT INTO "events" VALUES(5,'dcca6536f778',1.79530302295964264876e+09,'job.started','picture','{"key":"4b892f810d1f1079dcc53dec8e4fcb5bc524996aa3324a7fb4a605185ccf9ae0","ref":"mock:image-job"}');
INSERT INTO "events" VALUES(6,'dcca6536f778',1.79530302296010875699e+09,'job.sending','picture','{"key":"4b892f810d1f1079dcc53dec8e4fcb5bc524996aa3324a7fb4a605185ccf9ae0","ref":"mock:image-job"}');
INSERT INTO "events" VALUES(7,'dcca6536f778',1795303022.96109,'job.submitted','picture','{"key":"4b892f810d1f1079dcc53dec8e4fcb5bc524996aa3324a7fb4a605185ccf9ae0","ref":"mock:image-job","job_id":"bf00482610d24e49bfd5f21590b29edd"}');
INSERT INTO "events" VALUES(8,'dcca6536f778',1.79530302296800565713e+09,'job.succeeded','picture','{"key":"4b892f810d1f1079dcc53dec8e4fcb5bc524996aa3324a7fb4a605185ccf9ae0","ref":"mock:image-job","sample":0,"cost":{"usd":"0.00"},"artifacts":[{"kind":"blob","media_type":"image/png","sha256":"fe69a78c1d119580fbcec4c812da073d668e8931b61e8a5a6224734b624349ba","bytes":427,"width":32,"height":32}],"finish":"stop","meta":{"mocked":true},"usage":{},"operation":"image.generate","inputs":{"prompt":"The misty echo leaves the ridge before the hill. The calm melody watches the light beside the shepherd and horizon. The pale shore shapes the crew near the cold avalanche. The tall frame reaches the actor. The silent crew holds the river beneath the village and ridge. The strange camera keeps the wide film. The golden winter reveals the rock before the cold voice.","size":"32x32"},"upstream":["line"],"mode":"mock","mapping":"checked","mocked":true,"warnings":[],"reason":"new","detail":"","number":1,"began":1795303022.9600132}');
INSERT INTO "events" VALUES(9,'dcca6536f778',1.79530302296932244305e+09,'run.finished','','{"status":"succeeded"}');
CREATE TABLE exchanges (
    chat TEXT NOT NULL, number INTEGER NOT NULL, sample INTEGER NOT NULL, question TEXT NOT NULL, answer TEXT,
    PRIMARY KEY (chat, number)) STRICT;
CREATE TABLE gates (
    rate_key TEXT PRIMARY KEY, free REAL NOT NULL, tokens_free REAL NOT NULL, seen REAL NOT NULL, blocked REAL NOT NULL,
    held REAL NOT NULL, width REAL) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE picks (
    sheet TEXT NOT NULL, job TEXT NOT NULL, key TEXT NOT NULL, ref TEXT NOT NULL, parts TEXT NOT NULL,
    PRIMARY KEY (sheet, job)) STRICT;
INSERT INTO "picks" VALUES('sheet.toml#mock','line','8e1af22b4d2e2d08ceb332a571233a6a7fe8b2accd73a262c2846a94349b7f68','mock:text','{"model":"mock:text","revision":"","handler":"mock/1","options":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","salt":"","inputs.prompt":"c8318c3d5cb5eaf4e3f9e0c1c5072517e0b2a61f79c90c9023620d679df2ab6e"}');
INSERT INTO "picks" VALUES('sheet.toml#mock','picture','4b892f810d1f1079dcc53dec8e4fcb5bc524996aa3324a7fb4a605185ccf9ae0','mock:image-job','{"model":"mock:image-job","revision":"","handler":"mock/1","options":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","salt":"","inputs.prompt":"fe71fd4432b84ee3f1d4188c79cfd6f4f79efc9ebf13302ec096d0dac4fe7c02","inputs.size":"724146d93283beb829da10944ec25a476c8fe8cd4acd3a6c3add785dc86c617b","inputs.count":"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"}');
CREATE TABLE reservations (key TEXT PRIMARY KEY, run TEXT NOT NULL, at REAL NOT NULL, nanos INTEGER NOT NULL) STRICT;
CREATE TABLE runs (
    id TEXT PRIMARY KEY, sheet TEXT NOT NULL, mode TEXT NOT NULL, status TEXT NOT NULL, owner TEXT NOT NULL,
    started REAL NOT NULL, ended REAL, output TEXT NOT NULL, request TEXT NOT NULL) STRICT;
INSERT INTO "runs" VALUES('dcca6536f778','sheet.toml','mock','succeeded','d58fb271a4f54d8e8ccc0dd71d2923aa',1.79530302288541412352e+09,1.79530302296932244305e+09,'FOLDER/output-mock','{"mode":"mock","mock":[],"inputs":{},"models":{},"strict":false,"fail_fast":false,"chosen":{},"title":"Kept"}');
CREATE TABLE selections (
    sheet TEXT NOT NULL, producer TEXT NOT NULL, ref TEXT NOT NULL, PRIMARY KEY (sheet, producer)) STRICT;
CREATE TABLE spent_by_quarter (quarter INTEGER PRIMARY KEY, nanos INTEGER NOT NULL) STRICT;
CREATE TABLE spent_by_run (run TEXT PRIMARY KEY, nanos INTEGER NOT NULL) STRICT;
CREATE TABLE uploads (
    origin TEXT NOT NULL, account TEXT NOT NULL, sha256 TEXT NOT NULL, media_type TEXT NOT NULL,
    address TEXT NOT NULL, uploaded REAL NOT NULL, expires REAL,
    PRIMARY KEY (origin, account, sha256, media_type)) STRICT;
CREATE TABLE waits (key TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (key, owner)) STRICT;
CREATE INDEX calls_open ON calls (run) WHERE state IN ('claimed', 'sending', 'accepted', 'submitted');
CREATE INDEX attempts_of ON attempts (key, epoch);
CREATE INDEX events_of ON events (run, seq);
CREATE INDEX runs_by_start ON runs (started);
CREATE INDEX calls_of_job ON calls (json_extract(receipt, '$.job_id')) WHERE json_valid(receipt);
CREATE INDEX attempts_by_end ON attempts (ended, nanos);
CREATE TRIGGER attempt_spent AFTER INSERT ON attempts WHEN new.nanos > 0 BEGIN
    INSERT INTO spent_by_run VALUES (new.run, new.nanos)
        ON CONFLICT (run) DO UPDATE SET nanos = nanos + excluded.nanos;
    INSERT INTO spent_by_quarter VALUES (CAST(new.ended AS INTEGER) / 900, new.nanos)
        ON CONFLICT (quarter) DO UPDATE SET nanos = nanos + excluded.nanos;
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',9);
PRAGMA user_version = 8;
COMMIT;
