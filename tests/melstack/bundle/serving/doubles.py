"""Shared by the tests of the page: a predictor that measures how dark a picture is, and a server and client for it."""

import asyncio
import io
import threading
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import uvicorn
from PIL import Image
from scipy.special import expit

from features.pictures.read import read_picture
from melstack.bundle.predictions import Predictions
from melstack.bundle.serving.application import make_application, open_listener
from melstack.bundle.serving.limits import Limits
from melstack.report.column_words import ColumnWords
from runtime.errors import InputFault
from tests.level2_stack.thresholds.points import operating_point

ADDRESS = "http://127.0.0.1:8000"
SMALL = Limits(pictures=3, picture_mb=0.2, total_mb=0.4, pixels=100_000)


class DarknessPredictor:
    """A predictor that gives dark pictures a high probability; it decodes the files as a bundle does."""

    name = "darkness"
    card = "# Darkness\n\nDark is <b>bad</b>."
    facts: Mapping[str, object] = {
        "auc": np.float64(0.81),
        "auc_low": 0.75,
        "auc_high": float("nan"),
        "prevalence": 0.018,
        "networks": ["shade"],
        "versions": {"numpy": "2"},
        "digest": "sha256:0123abcd",
    }

    operating_points = (operating_point(threshold=0.5),)
    words = ColumnWords({"shade": "shade of the picture"})

    def predict(self, cases: pd.DataFrame, pictures: Mapping[str, Path]) -> Predictions:
        pixels = {name: self._pixels(name, pictures[name]) for name in cases.index}
        dark = pd.Series({name: 1 - each.mean() / 255 for name, each in pixels.items()}, index=cases.index)
        age = cases["age_approx"].astype(float).fillna(50) / 100
        parts = pd.DataFrame({"darkness": 6 * dark, "age": age, "site_torso": 0.0, "sex": -0.25, "base": -5.0})
        parts.loc[(cases["anatom_site_general_challenge"] == "torso").to_numpy(), "site_torso"] = -1.0
        margin = parts.sum(axis=1)
        table = pd.DataFrame({"probability": expit(margin), "low": expit(margin - 0.5), "high": expit(margin + 0.5)})
        table["rank"] = table["probability"].rank(ascending=False, method="min").astype(int)
        table["pictures"], table["unusual"] = len(cases), np.nan
        network = pd.DataFrame({"probability": dark, "spread": 0.01})
        is_outlier = (dark - dark.median()).abs() > 0.3
        table["ugly_duckling"] = is_outlier
        table[self.operating_points[0].column] = table["probability"] >= 0.5
        sentence = "it is darker or lighter than its neighbours"
        notices = {name: [sentence] * int(is_outlier[name]) for name in cases.index}
        return Predictions(table, {"shade": network}, parts, notices)

    def attention(self, cases: pd.DataFrame, pictures: Mapping[str, Path]) -> Mapping[str, np.ndarray]:
        dark = {name: 1 - self._pixels(name, pictures[name]).mean(axis=2)[::8, ::8] / 255 for name in cases.index}
        return {name: heat * np.linspace(0.1, 1, heat.shape[1]) for name, heat in dark.items()}  # a ramp

    def _pixels(self, name: str, path: Path) -> np.ndarray:
        try:
            return read_picture(path).astype(np.float32)
        except InputFault as fault:
            raise InputFault(f"pictures that cannot be decoded: 1 ({name}); the first: {fault}") from fault


class PageServer:
    """The page's server in a thread, on a free port of this machine."""

    def __init__(self, limits: Limits) -> None:
        self._socket = open_listener("127.0.0.1", 0)
        application = make_application(DarknessPredictor(), limits)
        self._server = uvicorn.Server(uvicorn.Config(application, log_level="error", ws="none"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self.port = int(self._socket.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "PageServer":
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *fault: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()


class PageClient:
    """Sends requests to an application as a browser on this machine would, without a network."""

    def __init__(self, application: Any) -> None:
        self._transport = httpx.ASGITransport(application)

    def get(self, path: str, **content: Any) -> Any:
        return asyncio.run(self._send("GET", path, content))

    def post(self, path: str, **content: Any) -> Any:
        return asyncio.run(self._send("POST", path, content))

    async def _send(self, method: str, path: str, content: dict[str, Any]) -> Any:
        async with httpx.AsyncClient(transport=self._transport, base_url=ADDRESS) as client:
            return await client.request(method, path, **content)


def jpeg(shade: int = 100, size: tuple[int, int] = (64, 48), kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(stream, kind)
    return stream.getvalue()


def bomb(side: int) -> bytes:
    """Return a PNG whose header claims ``side`` x ``side`` px."""
    whole = bytearray(jpeg(kind="PNG"))
    whole[16:24] = side.to_bytes(4, "big") * 2
    whole[29:33] = zlib.crc32(whole[12:29]).to_bytes(4, "big")
    return bytes(whole)


def files(*contents: bytes, names: tuple[str, ...] = ()) -> list[tuple[str, tuple[str, bytes]]]:
    file_names = names or tuple(f"{number}.jpg" for number in range(len(contents)))
    return [("pictures", pair) for pair in zip(file_names, contents, strict=True)]


def expected_probability(shade: int, age: float = 50, torso: bool = False) -> float:
    return float(expit(6 * (1 - shade / 255) + age / 100 - 0.25 - 5 - torso))
