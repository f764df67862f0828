//! Lets a step be given up: between the operations of its graph llama.cpp asks whether to go on. Only its processors do.
//!
//! The crate of bindings has no way to say so, but its parameters are llama.cpp's own in a shell, and there is room in them.

use std::{ffi::c_void, sync::Arc};

use engine::Interest;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_sys_2::llama_context_params;

/// A shell without anything else in it begins where its content begins.
const _: () = assert!(
    size_of::<LlamaContextParams>() == size_of::<llama_context_params>()
        && align_of::<LlamaContextParams>() == align_of::<llama_context_params>(),
    "the parameters of a context are more than llama.cpp's own: see whether the crate passes `abort_callback` on by now"
);

/// A context made with these parameters gives a step up when nobody waits for it. The context must be let go of before the
/// last of `interest` is.
#[allow(unsafe_code, reason = "the crate of bindings has no function for these two fields")]
pub(crate) fn when_lost(mut params: LlamaContextParams, interest: &Arc<Interest>) -> LlamaContextParams {
    let inner = (&raw mut params).cast::<llama_context_params>();
    // SAFETY: the shell holds this structure and, by the assertion above, nothing else, so it lies at the same address; `params`
    // is ours, and both fields may have any value that llama.cpp is given here.
    unsafe {
        (*inner).abort_callback = Some(is_lost);
        (*inner).abort_callback_data = Arc::as_ptr(interest).cast_mut().cast();
    }
    params
}

#[allow(unsafe_code, reason = "the type of such a function")]
unsafe extern "C" fn is_lost(interest: *mut c_void) -> bool {
    // SAFETY: what `when_lost` was given, which outlives the context that asks; it is only read.
    unsafe { &*interest.cast::<Interest>() }.is_lost()
}
