"""Videos: jobs that cannot be stopped, and whose file is fetched."""

from __future__ import annotations

from callsheet.testing import Exchange, Pieces
from callsheet_openai.testing.account import Account, Refused
from callsheet_openai.testing.answers import CREATED, Json
from callsheet_openai.testing.media import CLIP

__all__ = ["Videos"]


class Videos:
    """The videos of an account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def created(self, request: Exchange) -> Json:
        """A new job."""
        asked, job = request.data, self._account.new("video")
        blank = {"completed_at": None, "expires_at": None, "remixed_from_video_id": None, "error": None}
        wishes = {"seconds": asked.get("seconds", "4"), "size": asked.get("size", "720x1280")}
        head = {"id": job, "object": "video", "model": asked.get("model", "sora-2"), "prompt": asked["prompt"]}
        ended: Json = {"status": "completed", "progress": 100, "completed_at": CREATED + 9}
        if failure := self._account.next_failure():
            ended = {"status": "failed", "error": dict(zip(("code", "message"), failure, strict=True))}
        begun = {**head, **wishes, **blank, "status": "queued", "progress": 0, "created_at": CREATED}
        return self._account.start(begun, lambda: {**self._account.find(job), **ended})

    def content(self, request: Exchange) -> Pieces:
        """The file. Raises Refused before there is one."""
        if self._account.find(request.params["id"])["status"] != "completed":
            raise Refused(404, f"Video {request.params['id']} is not ready.")
        return Pieces([CLIP[:40], CLIP[40:]], "video/mp4")

    def forgotten(self, request: Exchange) -> Json:
        """A video is deleted. Raises Refused for one that is not there, or not over."""
        job = request.params["id"]
        self._account.find(job)
        if job in self._account.running:
            raise Refused(400, f"Video {job} is still being made.")
        del self._account.stored[job]
        return {"id": job, "object": "video.deleted", "deleted": True}
