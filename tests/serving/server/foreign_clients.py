"""Asks a served model by the clients of KServe and Triton, in every way they have. Runs where these are installed.

Usage: python foreign_clients.py ORIGIN MODEL IMAGE [health]. Prints a JSON object: [label, radius] by the way of
asking, and with `health` what the clients learn of health and metadata.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as triton
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

SETTINGS = {"seed": 7, "n": 3000}


def of_kserve(response):
    tensors = {output.name: output.as_numpy() for output in response.outputs}
    return [int(tensors["label"][0]), float(tensors["radius"][0])]


async def by_kserve(origin, model, image, text):
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
    body = {"instances": [{"b64": text}], "parameters": SETTINGS}
    (answer,) = (await v1.infer(origin, body, model_name=model))["predictions"]
    plain = InferInput(name="image", shape=[1], datatype="BYTES", data=[text])
    binary = InferInput(name="image", shape=[1], datatype="BYTES")
    binary.set_data_from_numpy(np.array([image], dtype=np.object_), binary_data=True)
    everything_binary = SETTINGS | {"binary_data_output": True}
    wanted = [RequestedOutput("radius", {"binary_data": True}), RequestedOutput("label")]
    requests = {
        "kserve v2": InferRequest(model_name=model, infer_inputs=[plain], parameters=SETTINGS),
        "kserve v2, binary": InferRequest(model_name=model, infer_inputs=[binary], parameters=everything_binary),
        "kserve v2, binary, outputs": InferRequest(
            model_name=model, infer_inputs=[binary], parameters=SETTINGS, request_outputs=wanted
        ),
    }
    answers = {way: of_kserve(await v2.infer(origin, each, model_name=model)) for way, each in requests.items()}
    return answers | {"kserve v1": [answer["label"], answer["certificate"]["radius"]]}


def by_triton(origin, model, image, text):
    client = triton.InferenceServerClient(origin.removeprefix("http://"), network_timeout=120)
    plain = triton.InferInput("image", [1], "BYTES")
    plain.set_data_from_numpy(np.array([text], dtype=np.object_), binary_data=False)
    binary = triton.InferInput("image", [1], "BYTES")
    binary.set_data_from_numpy(np.array([image], dtype=np.object_))
    json_outputs = [triton.InferRequestedOutput(name, binary_data=False) for name in ("label", "radius")]
    ways = {
        "triton": {"inputs": [binary]},
        "triton, JSON": {"inputs": [plain], "outputs": json_outputs, "priority": 1},
        "triton, JSON in, binary out": {"inputs": [plain]},
        "triton, binary in, JSON out": {"inputs": [binary], "outputs": json_outputs, "request_id": "seven"},
    }
    results = {way: client.infer(model, parameters=SETTINGS, timeout=10**8, **how) for way, how in ways.items()}
    try:
        client.infer(model, [binary], parameters={"unknown": 1})
    except triton.InferenceServerException as error:
        refusal = error.message()
    return {
        way: [int(result.as_numpy("label")[0]), float(result.as_numpy("radius")[0])] for way, result in results.items()
    } | {"refusal": refusal}


async def health_by_kserve(origin, model):
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
    live = [await client.is_server_live(origin) for client in (v1, v2)]
    ready = [await client.is_model_ready(origin, model) for client in (v1, v2)]
    return [*live, *ready, await v2.is_server_ready(origin), not await v2.is_model_ready(origin, "other")]


def health_by_triton(origin, model):
    client = triton.InferenceServerClient(origin.removeprefix("http://"))
    metadata = client.get_model_metadata(model, "1.0")
    names = [(each["name"], each["datatype"]) for each in metadata["inputs"]]
    ready = [
        client.is_server_live(),
        client.is_server_ready(),
        client.is_model_ready(model),
        client.is_model_ready(model, "1.0"),
    ]
    return [*ready, names == [("image", "BYTES")], "binary_tensor_data" in client.get_server_metadata()["extensions"]]


def main():
    origin, model, path, *asked = sys.argv[1:]
    image = Path(path).read_bytes()
    text = base64.b64encode(image).decode()
    answers = asyncio.run(by_kserve(origin, model, image, text)) | by_triton(origin, model, image, text)
    if asked == ["health"]:
        answers["health"] = asyncio.run(health_by_kserve(origin, model)) + health_by_triton(origin, model)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
