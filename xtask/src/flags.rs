//! The command line, as data for `xflags`; `help.rs` holds the text that people read.

xflags::xflags! {
    /// The checks of this workspace. `cargo xtask help` lists the commands, one line each.
    cmd xtask {
        /// Fail where a step would be skipped because a tool is missing.
        optional --strict

        default cmd overview {}
        /// List the commands.
        cmd help {}
        /// Format the workspace.
        cmd fmt {
            /// Only say what is not formatted.
            optional --check
        }
        /// Check the rules of STYLE.md that a text scan can see.
        cmd tidy {}
        /// Check who depends on whom.
        cmd deps {}
        /// Build each crate alone.
        cmd check {}
        /// Lint every target, warnings denied.
        cmd clippy {}
        /// Run every test.
        cmd test {}
        /// Build the documentation, warnings denied.
        cmd doc {}
        /// Check feature combinations.
        cmd features {
            /// How many features to combine; 1 needs no tool.
            optional --depth depth: u32
        }
        /// Compare the public interfaces with xtask/public-api.
        cmd public-api {
            /// Write what was found as the new expectation.
            optional --bless
        }
        /// Check licences, banned crates and sources.
        cmd deny {}
        /// Check the dependencies against the advisory database.
        cmd audit {}
        /// Find unused dependencies.
        cmd unused {}
        /// Build with the oldest supported toolchain.
        cmd msrv {}
        /// Measure coverage and hold the floors.
        cmd coverage {}
        /// Run the node beside its peers and write docs/performance.md.
        cmd bench {
            /// One short round, printed, not written.
            optional --quick
            /// Only hold so many connections in one node, and write what that takes.
            optional --connections connections: u32
            /// Only count instructions per call.
            optional --instructions
            /// Run the packages' own benchmarks instead, compared with the saved figures.
            optional --micro
            /// The same, and save the figures as what to compare with.
            optional --save
            /// Only format-check, lint and test the package bench.
            optional --check
        }
        /// Replay and run the fuzz targets.
        cmd fuzz-smoke {
            /// Seconds for each target.
            optional seconds: u64
        }
        /// Talk to plain rust-libp2p and to js-libp2p.
        cmd interop {}
        /// Run many memory nodes under churn.
        cmd soak {
            /// How long; 1 without it.
            optional minutes: u64
            /// The seed of an earlier run, to repeat it.
            optional --seed seed: u64
        }
        /// Run an experiment that writes figures and a plot; without a name, list them.
        cmd scenario {
            optional name: String
        }
        /// Run the checks that need network namespaces.
        cmd lab {}
        /// Check that a release can be made.
        cmd release {
            /// Only check; the only mode there is.
            optional --dry-run
        }
        /// Run what continuous integration runs.
        cmd ci {
            /// Only fmt, tidy, deps, one clippy and the tests.
            optional --fast
        }
    }
}
