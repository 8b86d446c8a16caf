//! The parts of a running server, and the server made of them.

pub(crate) mod server;

mod disk;
mod exposure;
mod load;
mod read;
mod receive;
mod release;
mod supervise;
mod tls;
mod upkeep;

pub(crate) use exposure::exposure_faults;
pub(crate) use read::run_read_process;
pub(crate) use release::load_failure;
pub(crate) use tls::now as clock_of_certificates;
