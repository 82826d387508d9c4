"""Forms (multipart/form-data) read in parts, and refused as soon as they are too large, damaged or cut off."""

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from melstack.bundle.serving.limits import BYTES, ENVELOPE_BYTES
from melstack.bundle.serving.refusals import RefusedError

FIELD_BYTES = 2000  # of a field that is not a file
# A file name with its character set (RFC 5987), which programs send for characters beyond ASCII.
ENCODED_NAME = re.compile(rb";\s*filename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^\s;]*)", re.IGNORECASE)


@dataclass(frozen=True)
class FormLimits:
    """The limits on a form: its ``files`` and other ``fields``, ``megabytes`` of all files, ``seconds`` to arrive.

    A file of more than ``kept_bytes`` is on the disk while the request lasts.
    """

    files: int
    fields: int
    megabytes: float
    seconds: float
    kept_bytes: int = 1_000_000

    @property
    def body_bytes(self) -> int:
        """The maximum number of bytes of the body."""
        return round(self.megabytes * BYTES) + ENVELOPE_BYTES + self.files * FIELD_BYTES

    def too_large(self) -> RefusedError:
        """Return the refusal of a form with too many bytes."""
        sentence = f"the request has more than {self.megabytes:g} MB; send fewer or smaller pictures"
        return RefusedError(413, sentence, "pictures")


async def parse_form(request: Request, limits: FormLimits) -> FormData:
    """Return the parts of the form in the body of ``request``; the caller closes it.

    Raises RefusedError: 413 when it is too large, as soon as the limit is passed; 415 when it is not a form; 400 when
    it is damaged or cut off at any place; 408 when it is not complete in time.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RefusedError(415, "the body is not a form; send the pictures as multipart/form-data", "Content-Type")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.body_bytes:
        raise limits.too_large()
    parser = _Parser(
        request.headers,
        _stream_body(request, limits),
        max_files=limits.files,
        max_fields=limits.fields,
        max_part_size=FIELD_BYTES,
    )
    parser.spool_max_size = limits.kept_bytes
    try:
        async with asyncio.timeout(limits.seconds):
            return await parser.parse()
    except TimeoutError:
        sentence = f"the request was not complete after {limits.seconds:g} seconds; send fewer or smaller pictures"
        raise RefusedError(408, sentence) from None
    except MultiPartException as error:
        raise _parser_refusal(error.message, limits) from error
    except ValueError as error:  # a charset that is a Python codec, but not one that decodes to text
        raise RefusedError(400, f"the form cannot be read: {error}", "Content-Type") from error


class _Parser(MultiPartParser):
    """Starlette's parser; it also refuses a form without its end and reads encoded file names."""

    _is_complete = False

    def on_end(self) -> None:
        """Note that the form's last boundary was read."""
        self._is_complete = True

    def on_headers_finished(self) -> None:
        """Read the headers of a part; the encoded file name is preferred to the plain one (RFC 6266, 4.3)."""
        part = self._current_part
        match = ENCODED_NAME.search(part.content_disposition or b"")
        if match is not None and part.content_disposition is not None:
            part.content_disposition = ENCODED_NAME.sub(b'; filename="encoded"', part.content_disposition)
        super().on_headers_finished()
        if match is not None and part.file is not None:
            part.file.filename = unquote_to_bytes(match[2]).decode(match[1].decode(), "replace")

    async def parse(self) -> FormData:
        """Return the parts; raise MultiPartException if the last boundary is missing."""
        form = await super().parse()
        if not self._is_complete:
            for file in self._files_to_close_on_error:  # also the one whose end is missing
                file.close()
            raise MultiPartException("it is cut off: its last boundary is missing")
        return form


async def _stream_body(request: Request, limits: FormLimits) -> AsyncGenerator[bytes, None]:
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limits.body_bytes:
            raise limits.too_large()
        yield chunk


def _parser_refusal(message: str, limits: FormLimits) -> RefusedError:
    """Return the refusal for an error of the parser; only its ``message`` shows whether the form is too large."""
    if message.startswith("Too many files"):
        return RefusedError(413, f"more than {limits.files} pictures; send them in several requests", "pictures")
    if message.startswith("Too many fields"):
        return RefusedError(413, f"more than {limits.fields} fields besides the pictures; send fewer")
    if message.startswith("Part exceeded"):
        return RefusedError(413, f"a field has more than {FIELD_BYTES} bytes; send pictures as files with a file name")
    return RefusedError(400, f"the form cannot be read: {message.rstrip('.')}; send it again as a whole")
