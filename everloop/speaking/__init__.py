"""One base, versioned adapters: loading by checksum, answers, scores, export."""
