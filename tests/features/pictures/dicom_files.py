"""Write DICOM files of a drawn picture."""

from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit

from tests.features.pictures.lesion_pictures import lesion

WIDTH, HEIGHT = 96, 64
PICTURE = lesion(WIDTH, HEIGHT)


def write_dicom(path: Path, pixels: bytes, syntax: UID = ExplicitVRLittleEndian, **tags: object) -> Path:
    """Write a DICOM of 96 x 64 px, RGB of 8 bits unless ``tags`` say otherwise."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.4", "1.2.3"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PlanarConfiguration = HEIGHT, WIDTH, 3, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PhotometricInterpretation = "RGB"
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_jpeg_dicom(path: Path, jpeg: bytes, **tags: object) -> Path:
    return write_dicom(path, encapsulate([jpeg]), JPEGBaseline8Bit, **tags)
