"""Text in, batches out: corpora, splits and collation. No model is known here."""
