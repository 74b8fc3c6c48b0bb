//! What becomes of the memory of long bodies when they are gone.

/// No allocator that this is about keeps more: the limit of glibc's `M_MMAP_THRESHOLD`, in bytes.
pub(crate) const MOST: usize = 32 << 20;

/// Has the allocator keep blocks of up to `bytes` when they are freed, and up to twice as much in all.
///
/// glibc maps each block of 128 KiB or more by itself and unmaps it when it is freed, and so clears every page
/// of every body: for bodies of 1 MiB that took a third of a connection's processor time. It learns from
/// what is freed: after one mapped block, blocks of that size come from the heap, which is given back from
/// twice that size on (mallopt(3), "dynamic mmap threshold"). So one block that nobody touches is
/// enough to tell it. Other allocators pay no attention.
pub(crate) fn keep_freed(bytes: usize) {
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        let block: Vec<u8> = Vec::with_capacity(bytes.min(MOST));
        // Or the compiler sees that nobody needs it.
        drop(std::hint::black_box(block));
    }
}
