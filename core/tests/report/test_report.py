"""The report: everything escaped, every source beside it, the same bytes each time, readable when there is much."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from callsheet.report import MAX_TEXT, is_report, render_report, shows_text

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>\x1b[31m\u202e\x00 &amp;'


class Page(HTMLParser):
    """The tags of a page, its links and sources, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        """Keep the tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Keep the text."""
        self.text += data

    def targets(self) -> list[str]:
        """Every source and link."""
        return [v for _, attrs in self.tags for k, v in attrs.items() if k in ("src", "href", "poster", "srcset") and v]

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all tags of this name."""
        return [attrs for name, attrs in self.tags if name == tag]


def job(number: int = 0, **more: object) -> dict[str, object]:
    """A job that was executed."""
    name = f"still[{number}]"
    blob = {"file": f"still-{number}.png", "kind": "blob", "media_type": "image/png", "sha256": f"{number:064}"}
    plain = {"id": name, "producer": "still", "index": number, "status": "executed", "ref": "acme:picture"}
    times = {"started": 10.0 + number, "submitted": 10.5 + number, "finished": 12.0 + number}
    return {**plain, **times, "artifacts": [{**blob, "bytes": 3, "width": 4, "height": 2}], **more}


def manifest(*jobs: dict[str, object], **more: object) -> dict[str, object]:
    """A manifest of these jobs."""
    head = {"run": "abc123", "sheet": "sheet.toml", "title": "A film", "mode": "live", "status": "succeeded"}
    body = {"started": 0.0, "ended": 61.0, "counts": {"executed": len(jobs)}, "cost": {"usd": "0.03"}}
    return {**head, **body, "jobs": list(jobs), **more}


def files_of(data: dict[str, object], text: str | None = None) -> dict[str, str | None]:
    """All files of a manifest, there, with this text."""
    return {a["file"]: text for each in data["jobs"] for a in each["artifacts"]}


def page_of(data: dict[str, object], text: str | None = None) -> Page:
    """The parsed page."""
    return Page(render_report(data, files_of(data, text)))


def test_the_summary_says_what_was_run():
    """Title, run, status, counts, cost, when and how long; no mock mark on a live run."""
    page = page_of(manifest(job()))
    for told in ("A film", "abc123", "succeeded", "1 executed", "$0.03", "1970-01-01 00:00:00 UTC", "1 min 1 s"):
        assert told in page.text
    assert "MOCK" not in page.text


def test_a_mocked_run_says_so_loudly():
    """A banner for the whole run, or for the producers that were mocked; a mark on each job."""
    page = page_of(manifest(job(mocked=True), mode="mock"))
    assert "MOCK – nothing was called" in page.text
    assert "PARTLY MOCK – still" in page_of(manifest(job(mocked=True), mode="hybrid")).text


def test_everything_from_outside_is_escaped():
    """A hostile title, prompt, text, message, warning, name: no tag comes of it, no control or direction character."""
    failed = {"id": "b", "producer": "b", "status": "failed", "artifacts": [], "message": HOSTILE, "prompt": HOSTILE}
    attempts = [{"at": 1.0, "ref": HOSTILE, "kind": HOSTILE, "sent": "unknown", "message": HOSTILE}]
    artifact = {"file": "a.txt", "media_type": "text/plain", "sha256": "0", "bytes": 9}
    odd = job(inputs={"prompt": HOSTILE, HOSTILE: HOSTILE}, warnings=[HOSTILE], ref=HOSTILE, artifacts=[artifact])
    data = manifest(odd, {**failed, "attempts": attempts, "docs_url": "javascript:alert(1)"}, title=HOSTILE)
    page = render_report(data, files_of(data, HOSTILE))
    parsed = Page(page)
    assert not parsed.of("script")
    assert not [k for _, attrs in parsed.tags for k in attrs if k.startswith("on")]
    assert not [c for c in ("\x1b", "\x00", "\u202e") if c in page.decode()]
    assert {"a.txt", "manifest.json"} <= set(parsed.targets())
    assert all(target in ("a.txt", "manifest.json", "#job-0", "#job-1") for target in parsed.targets())


def test_half_surrogates_are_no_reason_to_lose_a_report():
    """They become the replacement character."""
    assert "\ufffd" in render_report(manifest(title="a\ud800b"), {}).decode()


def test_two_hundred_jobs_load_lazily():
    """Each picture by itself when it is seen, no player before it is played; one card and one bar a job."""
    film = {"file": "clip-{}.mp4", "media_type": "video/mp4", "sha256": "", "bytes": 1}
    clips = [
        job(n, id=f"clip[{n}]", producer="clip", artifacts=[{**film, "file": f"clip-{n}.mp4"}]) for n in range(100)
    ]
    page = page_of(manifest(*(job(n) for n in range(100)), *clips))
    assert [attrs["loading"] for attrs in page.of("img")] == ["lazy"] * 100
    assert [attrs["preload"] for attrs in page.of("video")] == ["none"] * 100
    assert len(page.of("article")) == 200
    assert len([attrs for attrs in page.of("span") if attrs.get("class") == "track"]) == 200
    assert len({attrs["id"] for attrs in page.of("article")}) == 200


def test_the_page_is_a_function_of_its_arguments():
    """The same bytes; it is known as ours, and another page is not."""
    data = manifest(job(1), job(0))
    assert render_report(data, files_of(data)) == render_report(data, files_of(data))
    assert is_report(render_report(data, {})[:4096])
    assert not is_report(b"<html><title>mine</title>")


def test_a_file_that_is_not_there_is_not_linked():
    """It is named, and said to be missing."""
    page = Page(render_report(manifest(job()), {}))
    assert "still-0.png is not in this folder" in page.text
    assert not page.of("img")


@pytest.mark.parametrize(
    ("media_type", "shown"),
    [("text/plain", True), ("application/json", True), ("application/ld+json", True), ("image/png", False)],
)
def test_which_artifacts_are_shown_as_text(media_type, shown):
    """Text and JSON, whatever kind of artifact they are."""
    assert shows_text(media_type) is shown


def test_long_texts_are_folded_and_cut():
    """A short one stands there; a long one under its first words; one that is too long only in part."""
    text = {"file": "a.txt", "media_type": "text/plain; charset=utf-8", "sha256": "0", "bytes": 9}
    assert not page_of(manifest(job(artifacts=[text])), "short").of("details")
    assert page_of(manifest(job(artifacts=[text])), "long " * 200).of("details")
    page = page_of(manifest(job(artifacts=[text])), "x" * (MAX_TEXT + 1))
    assert "(its beginning is shown)" in page.text
    assert "x" * MAX_TEXT in page.text
    assert "x" * (MAX_TEXT + 1) not in page.text


def test_a_page_that_a_model_wrote_is_saved_and_not_opened():
    """Its text is shown, its link downloads."""
    web = {"file": "a.html", "media_type": "text/html", "sha256": "0", "bytes": 9}
    page = page_of(manifest(job(artifacts=[web])), "<b>")
    assert [attrs for attrs in page.of("a") if attrs["href"] == "a.html"] == [{"href": "a.html", "download": None}]


@pytest.mark.parametrize(
    ("status", "more", "todo"),
    [
        ("failed", {"kind": "content_rejected", "sent": "rejected", "message": "no"}, "change the prompt"),
        ("unknown", {"kind": "job_lost", "sent": "unknown", "message": "lost"}, "resume abc123 --on-unknown retry"),
        ("pending", {"kind": "timeout", "message": "still"}, "callsheet resume abc123"),
        ("cancelled", {"detail": "the run was cancelled"}, "callsheet resume abc123"),
        ("skipped", {"detail": "an earlier job failed"}, "callsheet resume abc123"),
    ],
)
def test_what_is_missing_says_what_to_do(status, more, todo):
    """Kind, whether it was sent, the message, the prompt, and the next step."""
    page = page_of(manifest(job(status=status, artifacts=[], inputs={"prompt": "lava"}, **more), status="failed"))
    assert todo in page.text
    assert "What is missing" in page.text
    assert "lava" in page.text
    for value in more.values():
        assert value in page.text


def test_blocked_jobs_say_what_they_need():
    """They are no failures of their own."""
    blocked = {"id": "c", "producer": "c", "status": "blocked", "artifacts": [], "needs": ["still[0]"]}
    page = page_of(manifest(job(), blocked))
    assert "1 more were not carried out" in page.text
    assert "What to do:" not in page.text


def test_producers_stand_in_the_order_of_the_work():
    """Upstream first, by name where that does not say it; producers that feed each other are no endless loop."""
    one = job(0, id="z", producer="z", artifacts=[])
    two = job(1, id="a", producer="a", artifacts=[], upstream=["z"])
    page = page_of(manifest(two, one))
    assert page.text.index("z 1") < page.text.index("a 1")
    turn = [job(0, id="a[1]", producer="a", upstream=["b[0]"]), job(0, id="b[1]", producer="b", upstream=["a[1]"])]
    assert len(page_of(manifest(*turn)).of("article")) == 2


def test_input_files_of_the_run_are_links():
    """A still that a clip was made from leads to it; another file is named."""
    known, other = {"sha256": f"{0:064}"}, {"sha256": "ff" * 32, "name": "mine.png"}
    page = page_of(manifest(job(0), job(1, inputs={"image": known, "images": [other]})))
    assert page.targets().count("still-0.png") == 4
    assert "mine.png" in page.text


async def test_the_report_of_a_run(studio):
    """Every source and link lies in the folder and is relative; prompts and times come from the run's events."""
    from callsheet.outputs import OutputFolder
    from callsheet.sheet import CallSheet

    folder = studio.sheet(
        '[producers.a]\noperation = "text.generate"\nmodels = ["acme:job"]\nprompt = "about <b>lava</b>"\n'
        '[producers.b]\noperation = "text.generate"\nmodels = ["acme:text"]\nprompt = "more: {{ a }}"\n'
    )
    async with await studio.open() as client:
        run = await client.run(CallSheet.load(folder))
    path = folder / "output/report.html"
    page = Page(path.read_bytes())
    for target in page.targets():
        assert target.startswith("#") or (path.parent / unquote(target)).is_file()
        assert not Path(target).is_absolute()
        assert ":" not in target
    assert "about <b>lava</b>" in page.text
    first = run.manifest["jobs"][0]
    assert first["inputs"] == {"prompt": "about <b>lava</b>"}
    assert first["operation"] == "text.generate"
    assert first["started"] <= first["submitted"] <= first["finished"]
    assert OutputFolder(path.parent).report_is_current(run.manifest)


async def test_inputs_are_redacted_before_they_are_cut(studio):
    """A key in a prompt reaches neither the events nor the page, also where the cut goes through it."""
    from callsheet.run_events import MAX_INPUT
    from callsheet.secrets import Secret
    from callsheet.sheet import CallSheet

    secret = "super-secret-value-" + "x" * 40
    prompt = "p" * (MAX_INPUT - 30) + secret
    folder = studio.sheet(f'[producers.a]\noperation = "text.generate"\nmodels = ["acme:text"]\nprompt = "{prompt}"\n')
    async with await studio.open() as client:
        client.runtime.services.redactor.add(Secret(secret))
        run = await client.run(CallSheet.load(folder))
    assert len(run.manifest["jobs"][0]["inputs"]["prompt"]) <= MAX_INPUT
    assert "super-secret" not in str(run.manifest["jobs"][0]["inputs"])
