"""Pictures as they come: JPEG, PNG, DICOM, HDF5, TFRecord; read, scanned and measured."""
