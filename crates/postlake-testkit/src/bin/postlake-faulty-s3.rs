//! The fault-injecting S3 server as a program, for benchmarks: prints its endpoint on standard
//! output and runs until its standard input ends.
//!
//! `postlake-faulty-s3 [--seed N] [--delay-ms MEAN] [--spread-ms SPREAD] [--unavailable SHARE]`

#![allow(
    clippy::print_stdout,
    reason = "a program for xtask to read, and for a shell"
)]

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use postlake_testkit::faulty_s3::{BUCKET, Delay, Faults, FaultyS3};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("postlake-faulty-s3: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut seed = 1;
    let mut delay = Delay {
        mean: Duration::ZERO,
        spread: Duration::ZERO,
    };
    let mut faults = Faults::default();
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words
            .next()
            .with_context(|| format!("{name} has no value"))?;
        let wrong = || format!("{name} {value} is not a number");
        let millis = || value.parse().map(Duration::from_millis).with_context(wrong);
        match name.as_str() {
            "--seed" => seed = value.parse().with_context(wrong)?,
            "--delay-ms" => delay.mean = millis()?,
            "--spread-ms" => delay.spread = millis()?,
            "--unavailable" => faults.unavailable = value.parse().with_context(wrong)?,
            _ => bail!("{name} is not known"),
        }
    }
    faults.delay = Some(delay);
    let server = FaultyS3::start(seed);
    server.set(faults);
    println!("{} {BUCKET}", server.endpoint());
    let mut input = std::io::stdin();
    let mut forgotten = [0; 64];
    while input.read(&mut forgotten)? > 0 {}
    Ok(())
}
