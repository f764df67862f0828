//! What llama.cpp was compiled for, against what this machine has.
//!
//! It has its instruction sets at compile time only. Built for less than the machine has it is slower many times over and
//! says nothing; built for more, it ends the process at the first such instruction. Both are refused before a model is read.

use std::ffi::CStr;

/// What is set in the environment of a build for each x86-64 machine of the last ten years, which `.cargo/config.toml` does.
const REMEDY: &str = "build it with GGML_AVX2=ON GGML_FMA=ON GGML_F16C=ON GGML_BMI2=ON in the environment";
/// The same of a build for the machine that builds, without tiles.
const NATIVE: &str = "CMAKE_C_FLAGS='-march=native -mno-amx-int8' CMAKE_CXX_FLAGS='-march=native -mno-amx-int8'";

/// Why this build of llama.cpp is not used on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// It would be slow.
    #[error(
        "this build of llama.cpp does not use {missing}, which this machine has, and would be many times slower: {REMEDY}"
    )]
    Slow {
        /// Instruction sets, as llama.cpp names them.
        missing: String,
    },
    /// It would end the process, on machines that have them too: GCC 12 leaves out most of what sets llama.cpp's tiles up, and the
    /// first prompt is a fault of memory (seen here; llama.cpp's issue 20824). A build cannot be seen to be free of it.
    #[error(
        "this build of llama.cpp uses the tiles of AMX, which end the process where the compiler sets them up wrongly, as \
        GCC 12 does: build it with {NATIVE}"
    )]
    Tiles,
    /// It would end the process.
    #[error(
        "this build of llama.cpp needs {missing}, which this machine does not have: {REMEDY}, or build it on such a machine"
    )]
    Foreign {
        /// The same.
        missing: String,
    },
}

/// Instruction sets, as llama.cpp names them: whether this machine has each, and whether a build without it is refused.
fn machine() -> Vec<(&'static str, bool, bool)> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        vec![
            ("AVX", has!("avx"), true),
            ("AVX2", has!("avx2"), true),
            ("FMA", has!("fma"), true),
            ("F16C", has!("f16c"), true),
            ("BMI2", has!("bmi2"), false),
            ("AVX512", has!("avx512f"), false),
            ("AVX512_VBMI", has!("avx512vbmi"), false),
            ("AVX512_VNNI", has!("avx512vnni"), false),
            ("AVX512_BF16", has!("avx512bf16"), false),
            ("AVX_VNNI", has!("avxvnni"), false),
        ]
    }
    #[cfg(target_arch = "aarch64")]
    {
        use std::arch::is_aarch64_feature_detected as has;
        vec![("NEON", has!("neon"), true), ("DOTPROD", has!("dotprod"), false), ("MATMUL_INT8", has!("i8mm"), false)]
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        Vec::new()
    }
}

/// The instruction sets that it computes with where no graphics card does.
///
/// # Errors
/// Where it does not suit this machine.
pub(crate) fn used() -> Result<String, Mismatch> {
    let used = suits(&information(), &machine())?;
    if let Some(faster) = faster(&used, &machine()) {
        tracing::info!(
            used,
            faster,
            "llama.cpp is built for less than this machine has; built here with {NATIVE} it may be faster"
        );
    }
    Ok(used)
}

/// What of the machine's a build does not use.
fn faster(used: &str, machine: &[(&str, bool, bool)]) -> Option<String> {
    let unused = machine.iter().filter(|(name, has, _)| *has && !used.split(' ').any(|one| one == *name));
    let unused: Vec<&str> = unused.map(|(name, ..)| *name).collect();
    (!unused.is_empty()).then(|| unused.join(" "))
}

/// The instruction sets of a build that suits a machine.
fn suits(information: &str, machine: &[(&str, bool, bool)]) -> Result<String, Mismatch> {
    let built: Vec<&str> = compiled(information).collect();
    let names =
        |missing: Vec<&(&str, bool, bool)>| missing.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
    let foreign: Vec<_> = machine.iter().filter(|(name, has, _)| !has && built.contains(name)).collect();
    if !foreign.is_empty() {
        return Err(Mismatch::Foreign { missing: names(foreign) });
    }
    if built.contains(&"AMX_INT8") {
        return Err(Mismatch::Tiles);
    }
    let slow: Vec<_> =
        machine.iter().filter(|(name, has, matters)| *has && *matters && !built.contains(name)).collect();
    if !slow.is_empty() {
        return Err(Mismatch::Slow { missing: names(slow) });
    }
    Ok(built.join(" "))
}

/// The names in a line such as `CUDA : USE_GRAPHS = 1 | CPU : SSE3 = 1 | AVX = 1 | REPACK = 1 | `, of processors alone.
fn compiled(information: &str) -> impl Iterator<Item = &str> {
    let mut of = "";
    information.split('|').filter_map(move |word| {
        let word = match word.split_once(':') {
            Some((device, word)) => {
                of = device.trim();
                word
            }
            None => word,
        };
        word.trim().strip_suffix("= 1").map(str::trim).filter(|_| of == "CPU")
    })
}

#[allow(unsafe_code, reason = "the crate of bindings does not pass this call on")]
fn information() -> String {
    // SAFETY: it takes nothing and gives a text that ends with a zero and lives in a static of the library, which is written
    // anew by each call; the lock keeps calls from meeting.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: as above.
    let text = unsafe { CStr::from_ptr(llama_cpp_sys_2::llama_print_system_info()) };
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: [(&str, bool, bool); 3] = [("AVX2", true, true), ("AVX512", false, false), ("BMI2", true, false)];

    #[test]
    fn a_build_that_suits_the_machine_says_what_it_uses_and_what_it_does_not() {
        let used = suits("CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 | ", &MACHINE).unwrap();
        assert_eq!(used, "SSE3 AVX2");
        assert_eq!(faster(&used, &MACHINE).as_deref(), Some("BMI2"));
        assert_eq!(faster("AVX2 BMI2", &MACHINE), None);
    }

    #[test]
    fn what_a_graphics_card_was_compiled_for_is_no_instruction_set() {
        let cards = "CUDA : ARCHS = 900 | USE_GRAPHS = 1 | PEER_MAX_BATCH_SIZE = 128 | ";
        let cpu = "CPU : SSE3 = 1 | AVX2 = 1 | ";
        for line in [format!("{cards}{cpu}"), format!("{cpu}{cards}")] {
            assert_eq!(suits(&line, &MACHINE).unwrap(), "SSE3 AVX2", "{line}");
        }
    }

    #[test]
    fn a_build_for_less_than_the_machine_is_refused_with_the_remedy() {
        let error = suits("CPU : SSE3 = 1 | LLAMAFILE = 1 | ", &MACHINE).unwrap_err().to_string();
        assert!(error.contains("does not use AVX2") && error.contains("GGML_AVX2=ON"), "{error}");
    }

    #[test]
    fn a_build_for_another_machine_is_refused_before_it_ends_the_process() {
        let error = suits("CPU : AVX2 = 1 | AVX512 = 1 | ", &MACHINE).unwrap_err().to_string();
        assert!(error.contains("needs AVX512, which this machine does not have"), "{error}");
    }

    #[test]
    fn a_build_whose_tiles_may_end_the_process_is_refused_with_how_to_build_it_without() {
        let error = suits("CPU : AVX2 = 1 | AMX_INT8 = 1 | ", &MACHINE).unwrap_err().to_string();
        assert!(error.contains("-march=native -mno-amx-int8"), "{error}");
        suits("CPU : AVX2 = 1 | AMX_INT8 = 0 | ", &MACHINE).unwrap();
    }

    #[test]
    fn this_build_suits_this_machine() {
        let used = used().unwrap();
        assert!(!used.is_empty(), "{used}");
    }
}
