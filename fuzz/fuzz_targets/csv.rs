#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postlake_testkit::fuzzing::fuzzed("csv", input));
