/* Records what a process does to the files under a folder, and kills or fails it at the n-th of these.

   Loaded by LD_PRELOAD. `crash_begin` starts a trace: one record for each create, write, truncate, sync,
   unlink and rename, in order, with its data. What is mapped into memory is not seen: SQLite's -shm, which
   it makes anew after a crash. Paths must be absolute. Linux only.

   record = op (1 byte) | 7 zero bytes | u64 inode | i64 offset | u64 path bytes | u64 data bytes | path | data */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FILES 4096
enum { KILL = 1, FAIL = 2 };

static char root[4096];
static size_t root_bytes;
static int trace = -1, failure, mode;
static long steps, at, until;
static struct { int known, folder, append; uint64_t inode; char path[512]; } files[MOST_FILES];
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

void crash_begin(const char *folder, const char *trace_path, int what, long first, long count, int error) {
    strncpy(root, folder, sizeof root - 1);
    root_bytes = strlen(root);
    mode = what, at = first, until = first + count, failure = error, steps = 0;
    trace = syscall(SYS_openat, AT_FDCWD, trace_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

long crash_steps(void) { return steps; }

void crash_end(void) { trace = -1; }

static int ours(const char *path) {
    size_t n = strlen(path);
    return trace >= 0 && n < 512 && n >= root_bytes && !strncmp(path, root, root_bytes)
        && !(n > 4 && !strcmp(path + n - 4, "-shm")) && !(n > 5 && !strcmp(path + n - 5, ".lock"));
}

static int known(int fd) { return trace >= 0 && fd >= 0 && fd < MOST_FILES && files[fd].known; }

/* Counts a step; 1 where it has to fail. Marks that the test writes are no step. */
static int step(const char *path) {
    size_t n = strlen(path);
    if (n > 6 && !strcmp(path + n - 6, "/marks")) return 0;
    steps++;
    if (mode == KILL && steps == at) syscall(SYS_exit_group, 99);
    if (mode == FAIL && steps >= at && steps < until) { errno = failure; return 1; }
    return 0;
}

static void record(char op, uint64_t inode, int64_t offset, const char *path, const void *data, size_t bytes) {
    struct { char op, zero[7]; uint64_t inode; int64_t offset; uint64_t path_bytes, data_bytes; } head;
    memset(&head, 0, sizeof head);
    head.op = op, head.inode = inode, head.offset = offset, head.path_bytes = strlen(path), head.data_bytes = bytes;
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, strlen(path)}, {(void *)data, bytes}};
    int kept = errno;
    pthread_mutex_lock(&one);
    syscall(SYS_writev, trace, parts, 3);
    pthread_mutex_unlock(&one);
    errno = kept;
}

static int opened(const char *path, int flags, int mode_bits) {
    int tracked = ours(path), was_there = tracked && !faccessat(AT_FDCWD, path, F_OK, 0);
    if (tracked && (flags & O_CREAT) && !was_there && step(path)) return -1;
    int fd = syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode_bits);
    if (fd >= 0 && fd < MOST_FILES) files[fd].known = 0;
    if (!tracked || fd < 0 || fd >= MOST_FILES) return fd;
    struct stat about;
    fstat(fd, &about);
    files[fd].known = 1, files[fd].folder = S_ISDIR(about.st_mode), files[fd].inode = about.st_ino;
    files[fd].append = (flags & O_APPEND) != 0;
    strcpy(files[fd].path, path);
    if (!was_there && (flags & O_CREAT)) record('C', about.st_ino, 0, path, "", 0);
    else if (flags & O_TRUNC) record('T', about.st_ino, 0, path, "", 0);
    return fd;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); \
        int bits = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0; \
        va_end(rest); \
        return opened(path, flags, bits); \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (fd >= 0 && fd < MOST_FILES) files[fd].known = 0;
    return syscall(SYS_close, fd);
}

/* A disk that is full takes some of a write before it takes nothing. */
static ssize_t written(int fd, const void *data, size_t bytes, off_t offset, int placed) {
    if (known(fd) && step(files[fd].path)) {
        if (failure != ENOSPC || steps != at || bytes < 2) return -1;
        bytes /= 2;
    }
    if (known(fd) && !placed) {
        struct stat about;
        fstat(fd, &about);
        offset = files[fd].append ? about.st_size : syscall(SYS_lseek, fd, 0L, SEEK_CUR);
    }
    ssize_t done = placed ? syscall(SYS_pwrite64, fd, data, bytes, offset) : syscall(SYS_write, fd, data, bytes);
    if (known(fd) && done > 0) record('W', files[fd].inode, offset, files[fd].path, data, done);
    return done;
}

ssize_t write(int fd, const void *data, size_t bytes) { return written(fd, data, bytes, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return written(fd, data, bytes, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t offset) { return written(fd, data, bytes, offset, 1); }

static int cut(int fd, off_t bytes) {
    if (known(fd) && step(files[fd].path)) return -1;
    int done = syscall(SYS_ftruncate, fd, bytes);
    if (known(fd) && !done) record('T', files[fd].inode, bytes, files[fd].path, "", 0);
    return done;
}

int ftruncate(int fd, off_t bytes) { return cut(fd, bytes); }
int ftruncate64(int fd, off_t bytes) { return cut(fd, bytes); }

static int synced(int fd, long number) {
    if (known(fd) && step(files[fd].path)) return -1;
    int done = syscall(number, fd);
    if (known(fd) && !done) record(files[fd].folder ? 'D' : 'S', files[fd].inode, 0, files[fd].path, "", 0);
    return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int unlink(const char *path) {
    if (ours(path) && step(path)) return -1;
    int done = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (ours(path) && !done) record('U', 0, 0, path, "", 0);
    return done;
}

int rename(const char *from, const char *to) {
    if (ours(to) && step(to)) return -1;
    int done = syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    if (ours(to) && !done) record('R', 0, 0, from, to, strlen(to));
    return done;
}
