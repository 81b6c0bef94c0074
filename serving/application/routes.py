"""The addresses of the HTTP interface: predictions, and the health and metadata of both inference protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.application.models import AnsweringModel, Versions
from serving.application.received import ReadingRoom, read_request
from serving.application.refusals import refusal, refusal_of
from serving.application.responses import respond
from zoo.errors import OverloadError, RequestError, UnknownNameError

Models = Mapping[str, Versions]
LONGEST_NAME = 100
DISCONNECTED = 499  # as nginx logs it
EXTENSIONS = ("binary_tensor_data",)
NAME, PROTOCOL_VERSION = "certified-zoo", "2"


def application(
    models: Models, *, describe: Callable[[], Mapping[str, Any]] = dict, is_ready: Callable[[], bool] | None = None
) -> Starlette:
    """The ASGI application that serves the models at the same addresses as TorchServe.

    It also answers the addresses of both inference protocols for health and metadata, which TorchServe cannot.

    Args:
        models: the versions of each model, by the model's name. The mapping may change while the application runs.
        describe: the content of /openapi.json.
        is_ready: whether the server accepts requests; by default, whether every default version does.
    """
    room = ReadingRoom()
    ready = is_ready or (lambda: all(served.by_version[served.default].is_ready for served in models.values()))

    async def predict(request: Request) -> Response:
        path = request.scope["path"]
        try:
            model = _find(models, request)
            with room.place() as place:
                # Nothing here keeps the request: its body may be large, and the model has it.
                replies = model.replies(await read_request(request, place, most_bytes=model.max_body_bytes))
                return await respond(replies, request, opened=place.leave)
        except _UnknownModelError as error:
            return refusal(404, str(error), type=error.type, path=path)
        except (OverloadError, RequestError) as error:
            return refusal_of(error, path=path)
        except ClientDisconnect:
            return Response(status_code=DISCONNECTED)  # for the log: nobody is left to read it

    def about(answer: Callable[[str, str, AnsweringModel], Response]) -> Callable[[Request], Response]:
        """The endpoint that answers about the model, by its name and version, that a request names."""

        def endpoint(request: Request) -> Response:
            try:
                model = _find(models, request)
            except _UnknownModelError as error:
                return refusal(404, str(error), type=error.type, path=request.scope["path"])
            name = request.path_params["model"]
            return answer(name, request.path_params.get("version", models[name].default), model)

        return endpoint

    def metadata(name: str, version: str, model: AnsweringModel) -> Response:
        served = [each for each in models[name].by_version if each != version]
        return JSONResponse({**model.metadata(), "name": name, "versions": [version, *served]})

    def model_ready(name: str, version: str, model: AnsweringModel) -> Response:
        return JSONResponse({"name": name, "ready": model.is_ready}, 200 if model.is_ready else 503)

    def server_ready(_: Request) -> Response:
        return JSONResponse({"ready": ready()}, 200 if ready() else 503)

    def ping(_: Request) -> Response:
        return JSONResponse({"status": "Healthy" if ready() else "Unhealthy"}, 200 if ready() else 503)

    def constant(body: Callable[[], Any]) -> Callable[[Request], Response]:
        return lambda _: JSONResponse(body())

    v2 = "/v2/models/{model}"
    predictions = ["/predictions/{model}", "/predictions/{model}/{version}", "/v1/models/{model}:predict"]
    predictions += [f"{v2}/infer", f"{v2}/versions/{{version}}/infer"]
    routes = [Route(address, predict, methods=["POST", "PUT"]) for address in predictions]
    for address, endpoint in (
        ("/ping", ping),
        ("/openapi.json", constant(describe)),
        ("/", constant(lambda: {"status": "alive"})),  # liveness in the first version of the protocol
        ("/v1/models", constant(lambda: {"models": list(models)})),
        ("/v1/models/{model}", about(model_ready)),
        ("/v2", constant(lambda: {"name": NAME, "version": PROTOCOL_VERSION, "extensions": EXTENSIONS})),
        ("/v2/models", constant(lambda: {"models": list(models)})),
        ("/v2/health/live", constant(lambda: {"live": True})),
        ("/v2/health/ready", server_ready),
        (v2, about(metadata)),
        (f"{v2}/ready", about(model_ready)),
        (f"{v2}/versions/{{version}}", about(metadata)),
        (f"{v2}/versions/{{version}}/ready", about(model_ready)),
    ):
        routes.append(Route(address, _in_the_loop(endpoint)))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_routed})
    app.router.redirect_slashes = False
    return app


def _in_the_loop(endpoint: Callable[[Request], Response]) -> Callable[[Request], Any]:
    """The endpoint as a coroutine; Starlette would run a plain function in a thread."""

    async def answer(request: Request) -> Response:
        return endpoint(request)

    return answer


async def _not_routed(request: Request, error: Exception) -> Response:
    """The response to an unknown address (404), or to another method than the address has (405)."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"this address does not have this method; allowed: {allowed}"
        return refusal(
            405, message, type="MethodNotAllowedException", path=request.scope["path"], headers=error.headers
        )
    message = "unknown address: predictions are at /predictions/MODEL"
    return refusal(error.status_code, message, type="ResourceNotFoundException", path=request.scope["path"])


def _find(models: Models, request: Request) -> AnsweringModel:
    """The model that a request's address names. Raises: _UnknownModelError."""
    name, version = request.path_params["model"], request.path_params.get("version")
    versions = models.get(name)
    if versions is None:
        raise _UnknownModelError("model", name, models)
    chosen = versions.default if version is None else version
    if chosen not in versions.by_version:
        raise _UnknownModelError("version", chosen, versions.by_version)
    return versions.by_version[chosen]


class _UnknownModelError(UnknownNameError):
    """A model or version that is not served; `type` is TorchServe's name of the error."""

    http_status = 404

    def __init__(self, kind: str, name: str, known: Mapping[str, object]) -> None:
        super().__init__(kind, name[:LONGEST_NAME], known)
        self.type = f"Model{'Version' if kind == 'version' else ''}NotFoundException"
