"""What a paper needs of a finished stack: figures, tables, a methods text and checklists of reporting guidelines."""
