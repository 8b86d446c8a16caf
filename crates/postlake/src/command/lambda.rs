//! `postlake lambda`: a function of AWS Lambda.

use std::process::ExitCode;

use crate::cli::LambdaArgs;
use crate::config::Flags;
use crate::exit::Failure;
use crate::lambda;

pub(crate) async fn run(arguments: LambdaArgs) -> Result<ExitCode, Failure> {
    lambda::run(arguments.role, &Flags::from(&arguments.data)).await?;
    Ok(ExitCode::SUCCESS)
}
