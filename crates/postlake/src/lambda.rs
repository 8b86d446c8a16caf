//! postlake as a function of AWS Lambda: the same receiver and the same loader, started by events.
//!
//! `receive` answers the requests of a load balancer, of an API gateway or of a function URL, `load`
//! takes the notifications of the bucket, `maintain` runs on a schedule. No SDK: the runtime's
//! interface is three HTTP calls ([`runtime`]).

mod http_event;
mod load;
mod notice;
mod receive;
mod runtime;

use crate::cli::FunctionRole;
use crate::config::{Flags, Settings};
use crate::exit::Failure;
use load::Loading;
use receive::Receiving;
use runtime::{Invocation, Runtime, VARIABLE};

/// Whether this process was started by the runtime, which gives no arguments.
pub(crate) fn is_entered() -> bool {
    std::env::var_os(VARIABLE).is_some() && std::env::args_os().len() == 1
}

/// Answers invocations until the runtime ends the process.
///
/// # Errors
/// When the function cannot start, or the runtime does not answer.
pub(crate) async fn run(role: FunctionRole, flags: &Flags) -> Result<(), Failure> {
    let runtime = Runtime::of_environment()?;
    let function = match Function::start(role, flags) {
        Ok(function) => function,
        Err(failure) => {
            runtime.cannot_start(&failure).await;
            return Err(failure);
        }
    };
    loop {
        let invocation = runtime.next().await?;
        let done = function.answer(&invocation).await;
        runtime.answer(&invocation, done).await?;
    }
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
            ..flags.clone()
        };
        let settings = Settings::read(&flags)?;
        Ok(match role {
            FunctionRole::Receive => Function::Receive(Receiving::start(&settings)?),
            FunctionRole::Load => Function::Load(Loading::new(settings)),
            FunctionRole::Maintain => Function::Maintain(Loading::new(settings)),
        })
    }

    async fn answer(&self, invocation: &Invocation) -> Result<Vec<u8>, Failure> {
        match self {
            Function::Receive(receiving) => receiving.answer(invocation).await,
            Function::Load(loading) => loading.take_notices(invocation).await,
            Function::Maintain(loading) => loading.maintain(invocation).await,
        }
    }
}
