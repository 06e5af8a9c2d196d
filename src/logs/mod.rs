//! Logs: sources and cursors, the scanner, events, error groups, built-in signatures.
