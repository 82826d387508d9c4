"""The synthetic clinics: data folders in a contest's layout, with a known melanoma risk."""
