"""External data: importers, the merge of databases, and dataset views (only the processes load AiiDA)."""
