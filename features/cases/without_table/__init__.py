"""Cases without a table: records of TFRecord files, and pictures in a folder per class."""
