"""Shared by the tests of the page: a predictor that measures how dark a picture is, and a server and client for it."""

import asyncio
import io
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
import pandas as pd
import uvicorn
from PIL import Image
from scipy.special import expit

from features.pictures.scan import ScanResult
from melstack.bundle.predictions import Predictions, Predictor
from melstack.bundle.serving.application import Access, make_application
from melstack.bundle.serving.limits import Limits
from melstack.bundle.serving.operation.connections import connection_class
from melstack.bundle.serving.request_queue import RequestQueue
from melstack.bundle.serving.serve import open_listener
from melstack.report.column_words import ColumnWords
from tests.level2_stack.thresholds.points import operating_point

SIDE = 64  # px of the squares that the predictor reads
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
    square_sizes = (SIDE,)

    def predict_scans(self, cases: pd.DataFrame, scan_results: Sequence[ScanResult]) -> Predictions:
        pixels = {name: pixels_of(scan) for name, scan in zip(cases.index, scan_results, strict=True)}
        dark = pd.Series({name: 1 - each.mean() / 255 for name, each in pixels.items()}, index=cases.index)
        age = cases["age_approx"].astype(float).fillna(50) / 100
        parts = pd.DataFrame({"darkness": 6 * dark, "age": age, "site_torso": 0.0, "sex": -0.25, "base": -5.0})
        parts.loc[(cases["anatom_site_general_challenge"] == "torso").to_numpy(), "site_torso"] = -1.0
        margin = parts.sum(axis=1)
        table = pd.DataFrame({"probability": expit(margin), "low": expit(margin - 0.5), "high": expit(margin + 0.5)})
        by_patient = table["probability"].groupby(cases["patient_id"])
        table["rank"] = by_patient.rank(ascending=False, method="min").astype(int)
        table["pictures"], table["unusual"] = len(cases), np.nan
        network = pd.DataFrame({"probability": dark, "spread": 0.01})
        is_outlier = (dark - dark.median()).abs() > 0.3
        table["ugly_duckling"] = is_outlier
        table[self.operating_points[0].column] = table["probability"] >= 0.5
        sentence = "it is darker or lighter than its neighbours"
        notices = {name: [sentence] * int(is_outlier[name]) for name in cases.index}
        return Predictions(table, {"shade": network}, parts, notices)

    def attention_of_scans(self, cases: pd.DataFrame, scan_results: Sequence[ScanResult]) -> Mapping[str, np.ndarray]:
        shades = {name: pixels_of(scan).mean(axis=2) for name, scan in zip(cases.index, scan_results, strict=True)}
        dark = {name: 1 - shade[::8, ::8] / 255 for name, shade in shades.items()}
        return {name: heat * np.linspace(0.1, 1, heat.shape[1]) for name, heat in dark.items()}  # a ramp


def pixels_of(scan: ScanResult) -> np.ndarray:
    """Return the pixels of the square that a picture was decoded to."""
    return np.asarray(Image.open(io.BytesIO(scan.jpegs[SIDE])), np.float32)


class PageServer:
    """The page's server in a thread, on a free port of this machine."""

    def __init__(self, limits: Limits, token: str | None = None) -> None:
        self._socket = open_listener("127.0.0.1", 0)
        self.port = int(self._socket.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        self.queue = RequestQueue(DarknessPredictor(), limits)
        application = make_application(self.queue, limits, Access(address=self.address, token=token))
        config = uvicorn.Config(
            application, http=connection_class(limits.head_seconds), log_level="error", access_log=False, ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

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
    """Sends requests to an application as a program on this machine would, without a network."""

    def __init__(
        self,
        predictor: Predictor,
        limits: Limits,
        access: Access | None = None,
        log: IO[str] | None = None,
        keep: Path | None = None,
    ) -> None:
        self.queue = RequestQueue(predictor, limits, keep=keep)
        self._transport = httpx.ASGITransport(make_application(self.queue, limits, access, log))

    def get(self, path: str, **content: Any) -> Any:
        return asyncio.run(self._send("GET", path, content))

    def post(self, path: str, **content: Any) -> Any:
        return asyncio.run(self._send("POST", path, content))

    def close(self) -> None:
        self.queue.close()

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
