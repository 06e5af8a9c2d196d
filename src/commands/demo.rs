//! `healer demo`
use crate::show::Output;
use anyhow::Result;
pub fn run(_out: &Output) -> Result<u8> {
    Ok(0)
}
