//! `healer serve`: the API, the event stream, the figures for Prometheus and the dashboard.
pub mod page;
