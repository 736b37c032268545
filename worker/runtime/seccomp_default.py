"""Docker's default seccomp profile: what a container may ask of the kernel.

Left out, and so not permitted: the keyring, kexec, swap, modules, clocks, mounts, namespaces, quotas, io_uring,
userfaultfd, process accounting and obsolete calls. Some come back with the capability that the kernel asks for them
anyway, so that ``--cap-add`` means what it says.
"""

import errno

from worker.kernel.libseccomp import ALLOW, Comparison, Condition, errno_action
from worker.runtime.seccomp import ALWAYS, Applies, Profile, Rule

_FILES = """
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
    fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd
    getdents getdents64 ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod
    mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev
    pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice
    stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64
    umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev
"""
_ATTRIBUTES = """
    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
    lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
"""
_MOUNT_TABLE = "listmount statmount"
_WAITING_FOR_FILES = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
    eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch _newselect poll
    ppoll ppoll_time64 pselect6 pselect6_time64 select
"""
_ASYNCHRONOUS_FILES = """
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioprio_get
    ioprio_set
"""
_MEMORY = """
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall
    mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
    process_mrelease remap_file_pages
"""
_PROCESSES = """
    execve execveat exit exit_group fork getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid
    gettid kill pidfd_open pidfd_send_signal prctl prlimit64 setpgid setpriority setrlimit setsid tgkill tkill
    ugetrlimit vfork wait4 waitid waitpid
"""
_IDENTITY = """
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
    getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
    setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
    setuid setuid32
"""
_OWN_CONFINEMENT = """
    landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp
"""
_THREADS = """
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area getcpu
    rseq set_robust_list set_thread_area set_tid_address uretprobe
"""
_SCHEDULING = """
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield
"""
_SIGNALS = """
    pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask
    sigreturn
"""
_TIME = """
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times
"""
_SOCKETS = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
    recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""
_SYSTEM_V_AND_QUEUES = """
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt
    shmget
"""
_MACHINE = "getrandom riscv_hwprobe sysinfo uname"

_EVERYWHERE = (
    _FILES,
    _ATTRIBUTES,
    _MOUNT_TABLE,
    _WAITING_FOR_FILES,
    _ASYNCHRONOUS_FILES,
    _MEMORY,
    _PROCESSES,
    _IDENTITY,
    _OWN_CONFINEMENT,
    _THREADS,
    _SCHEDULING,
    _SIGNALS,
    _TIME,
    _SOCKETS,
    _SYSTEM_V_AND_QUEUES,
    _MACHINE,
)

_WITH_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
        quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}

_ON_ARCHITECTURES: dict[tuple[str, ...], str] = {
    ("amd64", "x32"): "arch_prctl",
    ("amd64", "x32", "x86"): "modify_ldt",
    ("arm", "arm64"): """
        arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2
    """,
    ("ppc64le",): "swapcontext sync_file_range2",
    ("riscv64",): "riscv_flush_icache",
    ("s390", "s390x"): "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
}

_SAFE_PTRACE = (4, 8)
"""From here on a tracer cannot get round the filter."""

_AF_ALG, _AF_VSOCK = 38, 40
"""Families of sockets: kernel cryptography, and the hypervisor's side of this machine. The others may be used."""

_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux, 32 bits of address space (PER_LINUX32), uname of 2.6, both, and asking which it is."""

_NAMESPACES = 0x7E020000
"""Every CLONE_NEW… flag."""
_S390 = frozenset({"s390", "s390x"})
_ADMIN = frozenset({"CAP_SYS_ADMIN"})


def _allow(names: str, *conditions: Condition, applies: Applies = ALWAYS) -> Rule:
    return Rule(names=tuple(names.split()), action=ALLOW, conditions=conditions, applies=applies)


def _families() -> tuple[Rule, ...]:
    return (
        _allow("socket", Condition(0, Comparison.LT, _AF_ALG)),
        _allow("socket", Condition(0, Comparison.EQ, _AF_ALG + 1)),
        _allow("socket", Condition(0, Comparison.GT, _AF_VSOCK)),
    )


def _clones() -> tuple[Rule, ...]:
    """A process without new namespaces. What ``clone3`` asks for lies in memory, which a filter cannot read.

    So it does not exist, and libraries fall back to ``clone``. On s390 the first two arguments are exchanged.
    """
    elsewhere = Applies(without_capabilities=_ADMIN, without_architectures=_S390)
    on_s390 = Applies(without_capabilities=_ADMIN, architectures=_S390)
    return (
        _allow("clone", Condition(0, Comparison.MASKED_EQ, _NAMESPACES), applies=elsewhere),
        _allow("clone", Condition(1, Comparison.MASKED_EQ, _NAMESPACES), applies=on_s390),
        Rule(
            names=("clone3",),
            action=errno_action(errno.ENOSYS),
            applies=Applies(without_capabilities=_ADMIN),
        ),
    )


DEFAULT_PROFILE = Profile(
    default_action=errno_action(errno.EPERM),
    sub_architectures={
        "x86_64": ("x86", "x32"),
        "aarch64": ("arm",),
        "mips64": ("mips", "mips64n32"),
        "mips64n32": ("mips", "mips64"),
        "mipsel64": ("mipsel", "mipsel64n32"),
        "mipsel64n32": ("mipsel", "mipsel64"),
        "s390x": ("s390",),
    },
    rules=(
        *(_allow(names) for names in _EVERYWHERE),
        _allow("process_vm_readv process_vm_writev ptrace", applies=Applies(kernel=_SAFE_PTRACE)),
        *_families(),
        *(_allow("personality", Condition(0, Comparison.EQ, number)) for number in _PERSONALITIES),
        *(
            _allow(names, applies=Applies(architectures=frozenset(architectures)))
            for architectures, names in _ON_ARCHITECTURES.items()
        ),
        *(
            _allow(names, applies=Applies(capabilities=frozenset({capability})))
            for capability, names in _WITH_CAPABILITY.items()
        ),
        *_clones(),
    ),
)
