//! Our heap as a program: `collector=on-the-fly` or `stop-the-world`; `system=floor` is the
//! machine's floor instead.

use peers::programs::{Collected, Floor, main as program, run};
use runtime::{OnTheFly, StopTheWorld};
use std::process::ExitCode;

fn main() -> ExitCode {
    program(|params| {
        if params.text("system", "heap") == "floor" {
            return Floor::run(params);
        }
        match params.text("collector", "on-the-fly") {
            "on-the-fly" => run::<Collected<OnTheFly>>(params),
            "stop-the-world" => run::<Collected<StopTheWorld>>(params),
            name => Err(format!("there is no collector {name}").into()),
        }
    })
}
