"""Starting and ending to follow orders, one by one or by the hundred thousand."""
