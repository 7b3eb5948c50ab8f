"""TLS, HTTP/2 and clients behind proxies."""
import ssl
import subprocess

import httpx
import pytest

from harness import config, raw
from harness.scripted import Call

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def miner(stage):
    return stage.miner(Call.echo)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "1", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def secure(serve, miner, certificate):
    settings = config.with_upstream(miner.url)
    settings["listen"] = {"tls": {"cert": certificate / "cert.pem", "key": certificate / "key.pem"}}
    return serve(settings)


@pytest.mark.parametrize("http2", [False, True])
def test_tls_with_http_1_and_2(secure, certificate, http2):
    key = secure.create_key("--name", "tls")[1]
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    with httpx.Client(http1=not http2, http2=http2, verify=context, timeout=20) as client:
        url = f"https://{secure.public}/v1/chat/completions"
        for _ in range(2):
            answer = client.post(url, json=BODY, headers=raw.bearer(key))
            assert answer.json()["choices"][0]["message"]["content"] == "echo:hello"
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        with client.stream("POST", url, json={**BODY, "stream": True}, headers=raw.bearer(key)) as stream:
            assert list(stream.iter_lines())[-2:] == ["data: [DONE]", ""]


def test_h2c(serve, miner):
    settings = config.with_upstream(miner.url)
    settings["listen"] = {"h2c": True}
    server = serve(settings)
    key = server.create_key("--name", "h2c")[1]
    with httpx.Client(http1=False, http2=True, timeout=20) as client:
        answer = client.post(f"http://{server.public}/v1/chat/completions", json=BODY, headers=raw.bearer(key))
        assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
    assert raw.chat(server.public, key, model="m").status == 200


@pytest.mark.parametrize(("trusted", "forwarded", "client"), [
    ([], "203.0.113.9", "127.0.0.1"),
    (["127.0.0.0/8"], "203.0.113.9", "203.0.113.9"),
    (["127.0.0.0/8"], "198.51.100.1, 203.0.113.9", "203.0.113.9"),
    (["127.0.0.0/8", "203.0.113.0/24"], "198.51.100.1, 203.0.113.9", "198.51.100.1"),
    (["127.0.0.0/8"], "nonsense", "127.0.0.1")])
def test_the_client_is_whom_a_trusted_proxy_names(serve, miner, trusted, forwarded, client):
    settings = config.with_upstream(miner.url)
    settings["listen"] = {"trusted_proxies": trusted}
    server = serve(settings)
    key = server.create_key("--name", "proxied")[1]
    response = raw.chat(server.public, key, model="m", headers={"x-forwarded-for": forwarded})
    assert server.row(response.headers["x-request-id"])["client"] == client
