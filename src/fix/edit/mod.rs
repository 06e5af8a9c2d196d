//! Finds one literal in a file and replaces it; every other byte stays.
