//! The target that has this program's name.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    const NAME: &str = env!("CARGO_BIN_NAME");
    for (name, target) in endspan_fuzz::targets::ALL {
        if *name == NAME {
            target(bytes);
        }
    }
});
