//! Tests that need what is not on every machine: a graphics adapter or its software, a browser, a circuit simulator, a
//! data set. They are last, and what of it is missing is said once, behind everything else, with what to install; its
//! tests are ignored, not passed. CROSSPIKE_REQUIRE_GPU, _BROWSER, _SPICE and _FASHION, set to 1 as in continuous
//! integration, make it a failure.

#[path = "../common/mod.rs"]
mod common;
mod fashion;
mod gpu;
mod page;
mod spice;
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test by its name.
pub type Test = (&'static str, fn());

/// Functions by their names.
#[macro_export]
macro_rules! tests {
    ($($test:ident),* $(,)?) => { [$((stringify!($test), $test as fn())),*] };
}

/// What some tests need.
struct Tool {
    module: &'static str,
    tests: &'static [Test],
    missing: fn() -> Option<String>,
    variable: &'static str,
    /// What Debian calls it.
    package: &'static str,
}

const TOOLS: [Tool; 5] = [
    Tool {
        module: "gpu",
        tests: gpu::TESTS,
        missing: gpu::missing,
        variable: "CROSSPIKE_REQUIRE_GPU",
        package: "mesa-vulkan-drivers",
    },
    Tool {
        module: "support",
        tests: support::TESTS,
        missing: gpu::missing,
        variable: "CROSSPIKE_REQUIRE_GPU",
        package: "mesa-vulkan-drivers",
    },
    Tool {
        module: "page",
        tests: page::TESTS,
        missing: page::missing,
        variable: "CROSSPIKE_REQUIRE_BROWSER",
        package: "chromium",
    },
    Tool {
        module: "spice",
        tests: spice::TESTS,
        missing: spice::missing,
        variable: "CROSSPIKE_REQUIRE_SPICE",
        package: "ngspice",
    },
    Tool {
        module: "fashion",
        tests: fashion::TESTS,
        missing: fashion::missing,
        variable: "CROSSPIKE_REQUIRE_FASHION",
        package: "dataset-fashion-mnist",
    },
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (mut trials, mut notes) = (vec![], vec![]);
    for tool in TOOLS {
        let missing = (tool.missing)();
        let required = std::env::var(tool.variable).is_ok_and(|value| value == "1");
        for &(name, test) in tool.tests {
            let reason = missing.clone().filter(|_| required);
            let trial = Trial::test(format!("{}::{name}", tool.module), move || match reason {
                Some(reason) => Err(reason.into()),
                None => {
                    test();
                    Ok(())
                }
            });
            trials.push(trial.with_ignored_flag(missing.is_some() && !required));
        }
        if let Some(reason) = missing.filter(|_| !required) {
            notes.push(format!(
                "  {} tests `{}`: {reason} (Debian: apt install {})",
                tool.tests.len(),
                tool.module,
                tool.package
            ));
        }
    }
    let (lists, conclusion) = (arguments.list, libtest_mimic::run(&arguments, trials));
    if !notes.is_empty() && !lists {
        println!("not run, for want of what they need:\n{}\n", notes.join("\n"));
    }
    conclusion.exit_code()
}
