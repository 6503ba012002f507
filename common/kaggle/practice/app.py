"""The protocol over HTTP: POST /v1/<Service>/<Method> with JSON, PUT for uploads, GET for signed downloads."""

import json

from fastapi import Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from common.kaggle.practice import blobs, data
from common.kaggle.practice.addresses import check_signature
from common.kaggle.practice.calls import OCTETS, services
from common.kaggle.practice.fields import checked
from common.kaggle.practice.kernels import Kernels
from common.kaggle.practice.refused import Refused

LARGEST_CALL = 32 * 1024**2
"""Bytes of a call, of which a notebook's text is most."""


def build(kernels: Kernels) -> FastAPI:
    """The application that serves the notebooks, their datasets and their board."""
    app = FastAPI(dependencies=[Depends(refuse_other_sites)], docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    app.add_exception_handler(Refused, lambda _, refused: _refusal(refused))
    app.add_exception_handler(ClientDisconnect, lambda *_: Response(status_code=400))  # which nobody hears
    _answer_calls(app, kernels)
    _take_uploads(app, kernels)
    _serve_downloads(app, kernels)
    return app


async def refuse_other_sites(request: Request) -> None:
    """A page of another site, open in the user's browser, may reach this address; browsers say whose page asks."""
    origin = request.headers.get("Origin")
    if origin not in (None, str(request.base_url).rstrip("/")):
        raise Refused(403, "the practice leaderboard answers no page of another site")


def _answer_calls(app: FastAPI, kernels: Kernels) -> None:
    known = services(kernels)

    @app.post("/v1/{service}/{method}")
    async def call(service: str, method: str, request: Request) -> Response:
        if method not in known.get(service, {}):
            raise Refused(404, f"the practice leaderboard has no {service}/{method}")
        schema, answer = known[service][method]
        try:
            message = checked(schema.from_dict(await _message(request)))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise Refused(400, f"this is no {schema.__name__}: {error}") from error
        response = await run_in_threadpool(answer, message, str(request.base_url).rstrip("/"))
        return response if isinstance(response, Response) else JSONResponse(response.to_dict())


async def _message(request: Request) -> dict:
    """Raises Refused where there is more than a call can be, ValueError where it is no JSON or half a character."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_CALL:
            raise Refused(413, f"a call has at most {LARGEST_CALL:,} bytes")
    message = json.loads(content, object_hook=lambda fields: {k: v for k, v in fields.items() if v is not None})
    json.dumps(message, ensure_ascii=False).encode()
    return message


def _take_uploads(app: FastAPI, kernels: Kernels) -> None:
    store = kernels.board.store
    secret = store.secret()

    @app.put("/uploads/{token}")
    async def upload(token: str, request: Request, expires: str = "0", signature: str = "") -> Response:
        try:
            check_signature(f"/uploads/{token}", expires, signature, secret)
        except Refused as refused:
            raise Refused(404, f"no such upload: {refused.reason}") from None  # so a storage server answers
        return await blobs.receive(await run_in_threadpool(store.upload, token), request)


def _serve_downloads(app: FastAPI, kernels: Kernels) -> None:
    board = kernels.board
    secret = board.store.secret()

    @app.get("/data/{slug}.zip")
    def archive(slug: str, expires: str = "0", signature: str = "") -> Response:
        check_signature(f"/data/{slug}.zip", expires, signature, secret)
        return FileResponse(data.archive(board.competition(slug), board.store.state), media_type=OCTETS)

    @app.get("/data/{slug}/{name:path}")
    def file(slug: str, name: str, expires: str = "0", signature: str = "") -> Response:
        check_signature(f"/data/{slug}/{name}", expires, signature, secret)
        return FileResponse(data.file(board.competition(slug), name), media_type=OCTETS)

    @app.get("/datasets/{slug}/{number}.zip")
    def dataset(slug: str, number: int, expires: str = "0", signature: str = "") -> Response:
        check_signature(f"/datasets/{slug}/{number}.zip", expires, signature, secret)
        return FileResponse(data.dataset_archive(kernels.datasets, slug, number), media_type=OCTETS)

    @app.get("/output/{slug}/{number}/{name:path}")
    def output(slug: str, number: int, name: str, expires: str = "0", signature: str = "") -> Response:
        check_signature(f"/output/{slug}/{number}/{name}", expires, signature, secret)
        return FileResponse(kernels.output_file(slug, number, name), media_type=OCTETS)


def _refusal(refused: Refused) -> JSONResponse:
    return JSONResponse({"code": refused.status, "message": refused.reason}, status_code=refused.status)
