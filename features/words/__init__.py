"""Words as people write them: spellings, diagnoses and dates."""
