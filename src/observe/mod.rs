//! Health checks: the trait and the one table of them. Adding a check: one file, one table line, its test.
