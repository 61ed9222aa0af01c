"""Is the history what it promises to be? Every rule that the schema cannot express, looked for step by step."""
