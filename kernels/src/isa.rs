//! Which instruction set the loops may use: asked of the CPU once, then passed down as proof.
//!
//! An [`Isa`] has a private field and only the functions here make one, each after asking the CPU, so a kernel that
//! takes an `Isa` of a tier may run that tier's instructions. Configuration can lower it; nothing can raise it.

use std::{fmt, str::FromStr};

/// Instruction sets with a version of their own, from the one every CPU has to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Plain Rust, any CPU. The reference of all others.
    Scalar,
    /// AVX2 with FMA and F16C (Haswell, Zen and later).
    Avx2,
    /// The above and AVX-VNNI, whose integer dot products add four bytes at a time (Alder Lake, Zen 5 and later; what has them
    /// in AVX-512 too takes those).
    Avx2Vnni,
    /// AVX-512 F, BW, DQ and VL, with everything of AVX2 but VNNI.
    Avx512,
    /// The above and VNNI, whose integer dot products add four bytes at a time.
    Avx512Vnni,
    /// The above and AMX, which multiplies tiles of sixteen rows by sixteen columns, of bytes and of bfloat16. Where Linux lets
    /// the program use them.
    Amx,
}

impl Tier {
    /// Every tier, lowest first.
    pub const ALL: [Tier; 6] = [Tier::Scalar, Tier::Avx2, Tier::Avx2Vnni, Tier::Avx512, Tier::Avx512Vnni, Tier::Amx];

    /// The name used in configuration, logs and benchmarks.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Scalar => "scalar",
            Tier::Avx2 => "avx2",
            Tier::Avx2Vnni => "avx2vnni",
            Tier::Avx512 => "avx512",
            Tier::Avx512Vnni => "avx512vnni",
            Tier::Amx => "amx",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn on_this_cpu(self) -> bool {
        use std::arch::is_x86_feature_detected as has;
        match self {
            Tier::Scalar => true,
            Tier::Avx2 => has!("avx2") && has!("fma") && has!("f16c"),
            Tier::Avx2Vnni => Tier::Avx2.on_this_cpu() && has!("avxvnni"),
            Tier::Avx512 => {
                Tier::Avx2.on_this_cpu() && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl")
            }
            Tier::Avx512Vnni => Tier::Avx512.on_this_cpu() && has!("avx512vnni"),
            Tier::Amx => Tier::Avx512Vnni.on_this_cpu() && tiles_are_allowed(),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn on_this_cpu(self) -> bool {
        self == Tier::Scalar
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether the CPU multiplies tiles of bytes and of bfloat16, and the system lets this program do so: Linux asks to be asked, as their
/// registers make what it saves for a thread 8 KiB larger. Asked once; a yes holds for every thread.
#[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
fn tiles_are_allowed() -> bool {
    use std::{arch::x86_64::__cpuid_count, sync::LazyLock};
    /// `ARCH_REQ_XCOMP_PERM` of arch_prctl(2), and the state that it is asked for: the data of tiles.
    const ASK: libc::c_long = 0x1023;
    const TILES: libc::c_long = 18;
    static ALLOWED: LazyLock<bool> = LazyLock::new(|| {
        // Leaf 7, EDX: bit 22 is AMX-BF16, bit 24 AMX-TILE, bit 25 AMX-INT8.
        let all = 1 << 22 | 1 << 24 | 1 << 25;
        // SAFETY: the call reads two numbers and touches no memory of the program.
        __cpuid_count(7, 0).edx & all == all && unsafe { libc::syscall(libc::SYS_arch_prctl, ASK, TILES) } == 0
    });
    *ALLOWED
}

#[cfg(all(target_arch = "x86_64", not(all(target_os = "linux", not(miri)))))]
fn tiles_are_allowed() -> bool {
    false
}

/// A name that is no tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTier(String);

impl fmt::Display for UnknownTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Tier::ALL.map(Tier::name).join(", ");
        write!(f, "unknown instruction set `{}`; expected one of {names}", self.0)
    }
}

impl std::error::Error for UnknownTier {}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Tier::ALL.into_iter().find(|tier| tier.name() == name).ok_or_else(|| UnknownTier(name.to_owned()))
    }
}

/// A tier that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Isa(Tier);

impl Isa {
    /// The best tier of this CPU.
    pub fn best() -> Isa {
        Isa::at_most(Tier::Amx)
    }

    /// The best tier of this CPU that is not above `limit`.
    pub fn at_most(limit: Tier) -> Isa {
        let tier = Tier::ALL.into_iter().rev().find(|&tier| tier <= limit && tier.on_this_cpu());
        Isa(tier.unwrap_or(Tier::Scalar))
    }

    /// Every tier of this CPU, lowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Tier::ALL.into_iter().filter(|tier| tier.on_this_cpu()).map(Isa)
    }

    /// The tier that this value proves.
    pub fn tier(self) -> Tier {
        self.0
    }

    /// The tier's name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// Calls the version of `function` that belongs to the tier of `$isa`, from the modules `scalar`, `avx2`,
/// `avx2vnni`, `avx512` and `avx512vnni` in scope. An operation without a VNNI version says `use avx512 as avx512vnni`. Where tiles are worth it, the
/// operation has asked for them before.
macro_rules! dispatch {
    ($isa:expr, $function:ident $(::<$($generic:tt),+>)? ($($argument:expr),* $(,)?)) => {
        match $isa.tier() {
            crate::isa::Tier::Scalar => scalar::$function$(::<$($generic),+>)?($($argument),*),
            // SAFETY: an `Isa` of this tier exists only on a CPU that reported AVX2, FMA and F16C.
            #[cfg(target_arch = "x86_64")]
            crate::isa::Tier::Avx2 => unsafe { avx2::$function$(::<$($generic),+>)?($($argument),*) },
            // SAFETY: likewise for those and AVX-VNNI.
            #[cfg(target_arch = "x86_64")]
            crate::isa::Tier::Avx2Vnni => unsafe { avx2vnni::$function$(::<$($generic),+>)?($($argument),*) },
            // SAFETY: likewise for AVX-512 F, BW, DQ and VL.
            #[cfg(target_arch = "x86_64")]
            crate::isa::Tier::Avx512 => unsafe { avx512::$function$(::<$($generic),+>)?($($argument),*) },
            // SAFETY: likewise for those and VNNI.
            #[cfg(target_arch = "x86_64")]
            crate::isa::Tier::Avx512Vnni | crate::isa::Tier::Amx => unsafe { avx512vnni::$function$(::<$($generic),+>)?($($argument),*) },
            // No `Isa` of another tier exists on this architecture.
            #[cfg(not(target_arch = "x86_64"))]
            _ => scalar::$function$(::<$($generic),+>)?($($argument),*),
        }
    };
}
pub(crate) use dispatch;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_limit_lowers_the_tier_and_nothing_raises_it() {
        for limit in Tier::ALL {
            assert!(Isa::at_most(limit).tier() <= limit);
            assert!(Isa::at_most(limit) <= Isa::best());
        }
        assert_eq!(Isa::at_most(Tier::Scalar).tier(), Tier::Scalar);
    }

    #[test]
    fn names_are_read_back_and_a_wrong_one_lists_the_right_ones() {
        for tier in Tier::ALL {
            assert_eq!(tier.name().parse(), Ok(tier));
        }
        let error = "avx3".parse::<Tier>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown instruction set `avx3`; expected one of scalar, avx2, avx2vnni, avx512, avx512vnni, amx"
        );
    }

    /// A machine that promises a tier and lacks it must fail: otherwise a green run says nothing of that tier.
    #[test]
    fn the_machine_has_every_tier_it_promises() {
        let available: Vec<Tier> = Isa::available().map(Isa::tier).collect();
        println!("tiers under test: {available:?}");
        let promised = std::env::var("KERNEL_TIERS").unwrap_or_else(|_| "scalar".to_owned());
        for name in promised.split(',') {
            let tier: Tier = name.trim().parse().unwrap();
            assert!(available.contains(&tier), "KERNEL_TIERS promises {tier}, the CPU has {available:?}");
        }
    }
}
