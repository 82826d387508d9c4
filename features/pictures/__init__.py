"""Read, scan and measure pictures: JPEG, PNG, DICOM, HDF5 and TFRecord."""
