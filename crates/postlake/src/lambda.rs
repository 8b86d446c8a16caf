//! postlake as a function of AWS Lambda: the same receiver and the same loader, started by events.
//!
//! `receive` answers the requests of a load balancer, of an API gateway or of a function URL, `load`
//! takes the notifications of the bucket, `maintain` runs on a schedule. What they have in common, and
//! the one that receives, is in [`crate::function`]: a small program of its own has that alone.

mod load;
mod notice;

use crate::cli::FunctionRole;
use crate::config::{Flags, Settings};
use crate::exit::Failure;
use crate::function;
use crate::function::receive::Receiving;
use crate::function::runtime::Invocation;
use load::Loading;

/// Answers invocations until the runtime ends the process.
///
/// # Errors
/// When the function cannot start, or the runtime does not answer.
pub(crate) async fn run(role: FunctionRole, flags: &Flags) -> Result<(), Failure> {
    function::run(|| Function::start(role, flags)).await
}

/// What answers.
enum Function {
    Receive(Receiving),
    Load(Loading),
    Maintain(Loading),
}

impl Function {
    fn start(role: FunctionRole, flags: &Flags) -> Result<Function, Failure> {
        let flags = Flags {
            secrets: role == FunctionRole::Receive,
            traces: true,
            ..flags.clone()
        };
        let settings = Settings::read(&flags)?;
        Ok(match role {
            FunctionRole::Receive => Function::Receive(Receiving::start(&settings)?),
            FunctionRole::Load => Function::Load(Loading::new(settings)),
            FunctionRole::Maintain => Function::Maintain(Loading::new(settings)),
        })
    }
}

impl function::Function for Function {
    async fn answer(&self, invocation: &Invocation) -> Result<Vec<u8>, Failure> {
        match self {
            Function::Receive(receiving) => receiving.answer(invocation).await,
            Function::Load(loading) => loading.take_notices(invocation).await,
            Function::Maintain(loading) => loading.maintain(invocation).await,
        }
    }
}
