/*
 * What `minipaas` is on disk: a small static program that starts the real one. It needs no libc of the host.
 *
 * As the one file it carries the program tree behind itself: a tar, compressed with zstd, then 24 bytes that say so
 * (u64 length of the archive, u64 bytes of the files in it, "minipaas"; little-endian). It unpacks the tree into a
 * directory that only its user can enter and that is locked while in use, and starts it; the program removes the
 * directory when it ends (minipaas/program.py). What a killed one left is removed by the next. Without an archive it
 * is part of a tree that is unpacked for good, and starts what lies beside it.
 *
 *     TREE/minipaas             this
 *     TREE/lib/minipaas         PyInstaller's bootloader and our Python modules
 *     TREE/lib/parts/           libraries and data
 *     TREE/lib/glibc/           the loader and libc of the machine that built it
 *
 * The program was linked with some glibc and starts with any newer one. Where the host's is older, or there is none,
 * it is started through the loader in the tree. That is all that happens here: one process, the caller's process id,
 * and an environment with at most LD_LIBRARY_PATH (for the bundled libc; taken back by the program before it starts
 * anything) and _MINIPAAS_FILE (the one file's path) more than the caller's.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#if defined(__x86_64__)
#define LOADER "ld-linux-x86-64.so.2"
#define HOST_LOADER "/lib64/" LOADER
#elif defined(__aarch64__)
#define LOADER "ld-linux-aarch64.so.1"
#define HOST_LOADER "/lib/" LOADER
#else
#error "which loader does this architecture's ABI name?"
#endif

#define MARK "minipaas"
#define PREFIX "minipaas."
#define STALE 60 /* seconds: a directory that is not locked by then has lost its owner */

struct trailer {
    uint64_t archive, unpacked;
    char mark[8];
};

static void fail(const char *what, const char *why, const char *hint) {
    fprintf(stderr, "cannot start minipaas: %s%s%s\n", what, *why ? ": " : "", why);
    if (hint) fprintf(stderr, "\xe2\x86\x92 %s\n", hint);
    exit(1);
}

static void fail_errno(const char *what, const char *hint) { fail(what, strerror(errno), hint); }

static void join(char *into, const char *directory, const char *name) {
    if (snprintf(into, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX) fail(directory, "this path is too long", NULL);
}

/* Whether the host's libc is at least the one that this was built with. */
static int host_libc_is_new_enough(void) {
    int good = 0, file = open(HOST_LOADER, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (file < 0) return 0;
    if (fstat(file, &about) == 0 && about.st_size > 0) {
        char *text = mmap(NULL, about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (text != MAP_FAILED) {
            /* every glibc since 2.33 says so in its loader: "… stable release version 2.36.\n" */
            static const char says[] = "stable release version 2.";
            char *found = memmem(text, about.st_size, says, sizeof says - 1);
            if (found && found + sizeof says + 4 < text + about.st_size) good = atoi(found + sizeof says - 1) >= BUILT_WITH;
            munmap(text, about.st_size);
        }
    }
    close(file);
    return good;
}

/* Start the program of a tree; does not return. */
static void start(const char *tree, char **argv) {
    char program[PATH_MAX], loader[PATH_MAX], libraries[PATH_MAX], both[3 * PATH_MAX];
    const char *before = getenv("LD_LIBRARY_PATH");
    join(program, tree, "lib/minipaas");
    if (host_libc_is_new_enough()) {
        execv(program, argv);
        fail_errno(program, "copy the whole directory, or the one file, again");
    }
    join(libraries, tree, "lib/glibc");
    join(loader, libraries, LOADER);
    snprintf(both, sizeof both, "%s%s%s", libraries, before && *before ? ":" : "", before ? before : "");
    setenv("LD_LIBRARY_PATH", both, 1);
    setenv("_PYI_LINUX_PROCESS_NAME", "minipaas", 1); /* else it would be the loader's */
    size_t count = 0;
    while (argv[count]) count++;
    char **more = calloc(count + 2, sizeof *more);
    if (!more) fail("no memory", "", NULL);
    more[0] = loader;
    more[1] = program; /* the bootloader finds itself by it */
    for (size_t i = 1; i < count; i++) more[i + 1] = argv[i];
    execv(loader, more);
    fail_errno(loader, "copy the whole directory, or the one file, again");
}

/* --- the one file --- */

static void remove_tree(int parent, const char *name) {
    if (unlinkat(parent, name, 0) == 0 || (errno != EISDIR && errno != EPERM)) return;
    int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = directory < 0 ? NULL : fdopendir(directory);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) remove_tree(directory, entry->d_name);
    if (list) closedir(list);
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* Remove what killed ones of this user left: directories with our name that nobody holds locked. */
static void sweep(const char *above) {
    DIR *list = opendir(above);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        struct stat about;
        if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) || strlen(entry->d_name) != sizeof PREFIX - 1 + 6) continue;
        int held = openat(dirfd(list), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (held < 0) continue;
        if (fstat(held, &about) == 0 && about.st_uid == geteuid() && time(NULL) - about.st_ctime > STALE &&
            flock(held, LOCK_EX | LOCK_NB) == 0)
            remove_tree(dirfd(list), entry->d_name);
        close(held);
    }
    if (list) closedir(list);
}

/* A new directory that programs may be started from, with room for so many bytes; locked until this process ends. */
static void make_directory(char *into, uint64_t bytes) {
    const char *asked = getenv("TMPDIR"), *runtime = getenv("XDG_RUNTIME_DIR");
    const char *places[] = {asked ? asked : "", "/tmp", "/var/tmp", runtime ? runtime : "", "/run", "/dev/shm"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct statvfs about;
        if (places[i][0] != '/' || statvfs(places[i], &about) || about.f_flag & (ST_NOEXEC | ST_RDONLY)) continue;
        sweep(places[i]);
        if (statvfs(places[i], &about) || (uint64_t)about.f_bavail * about.f_frsize < bytes) continue;
        join(into, places[i], PREFIX "XXXXXX");
        if (!mkdtemp(into)) continue;
        int held = open(into, O_RDONLY | O_DIRECTORY); /* not closed on exec: the program holds the lock */
        if (held >= 0 && flock(held, LOCK_SH | LOCK_NB) == 0) return;
        rmdir(into);
    }
    char room[128];
    snprintf(room, sizeof room, "it needs %llu MB in a directory that programs may be started from",
             (unsigned long long)(bytes / 1000000 + 1));
    fail(room, "", "name one in TMPDIR; or install it once, as root, where there is room: minipaas install");
}

static ZSTD_DCtx *zstd;
static ZSTD_inBuffer packed;
static char *where;

static void broken(const char *why) {
    if (where) remove_tree(AT_FDCWD, where);
    fail("its archive is damaged", why, "copy the file again");
}

/* So many bytes of the tar. */
static void take(void *into, size_t length) {
    ZSTD_outBuffer out = {into, length, 0};
    while (out.pos < out.size) {
        size_t had_in = packed.pos, had_out = out.pos, told = ZSTD_decompressStream(zstd, &out, &packed);
        if (ZSTD_isError(told)) broken(ZSTD_getErrorName(told));
        if (had_in == packed.pos && had_out == out.pos) broken("it ends too early");
    }
}

/* What follows the last entry, up to the checksum that zstd keeps of everything. */
static void take_rest(void) {
    static char rest[1 << 16];
    size_t told;
    do {
        ZSTD_outBuffer out = {rest, sizeof rest, 0};
        size_t had_in = packed.pos;
        told = ZSTD_decompressStream(zstd, &out, &packed);
        if (ZSTD_isError(told)) broken(ZSTD_getErrorName(told));
        if (told && had_in == packed.pos && !out.pos) broken("it ends too early");
    } while (told);
}

static void unpack_file(const char *path, int mode, uint64_t size) {
    static char block[1 << 18];
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    uint64_t left = (size + 511) / 512 * 512, data = size;
    if (file < 0) goto full;
    while (left) {
        size_t some = left < sizeof block ? left : sizeof block, keep = data < some ? data : some;
        take(block, some);
        for (size_t done = 0; done < keep;) {
            ssize_t wrote = write(file, block + done, keep - done);
            if (wrote < 0) goto full;
            done += wrote;
        }
        left -= some;
        data -= keep;
    }
    if (close(file) == 0) return;
full:;
    int why = errno;
    remove_tree(AT_FDCWD, where);
    errno = why;
    fail_errno(path, "name a directory with more room in TMPDIR");
}

/* The archive's entries: POSIX.1-1988 ustar, written by buildspec/assemble.py; directories come before what is in them. */
static void unpack(void) {
    struct {
        char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[8], owner[32],
            group[32], device[16], prefix[155], rest[12];
    } entry;
    char name[300], path[PATH_MAX], target[101];
    for (take(&entry, 512); entry.name[0]; take(&entry, 512)) {
        if (memcmp(entry.magic, "ustar", 5)) broken("this is no tar");
        snprintf(name, sizeof name, "%.155s%s%.100s", entry.prefix, entry.prefix[0] ? "/" : "", entry.name);
        join(path, where, name);
        int mode = strtol(entry.mode, NULL, 8) & 0755;
        if (entry.type == '5') {
            if (mkdir(path, mode)) fail_errno(path, NULL);
        } else if (entry.type == '2') {
            snprintf(target, sizeof target, "%.100s", entry.link);
            if (symlink(target, path)) fail_errno(path, NULL);
        } else {
            unpack_file(path, mode, strtoull(entry.size, NULL, 8));
        }
    }
    take_rest();
}

int main(int argc, char **argv) {
    static char self[PATH_MAX], tree[PATH_MAX];
    struct trailer end;
    struct stat about;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (argc < 1 || length < 0) fail("/proc is not mounted", "", NULL);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* its path may be hidden by now */
    if (file < 0 || fstat(file, &about)) fail_errno(self, NULL);
    if (about.st_size < (off_t)sizeof end || pread(file, &end, sizeof end, about.st_size - sizeof end) != sizeof end ||
        memcmp(end.mark, MARK, sizeof end.mark)) {
        *strrchr(self, '/') = 0;
        unsetenv("_MINIPAAS_FILE");
        start(self, argv);
    }
    char *all = mmap(NULL, about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (all == MAP_FAILED || end.archive > (uint64_t)about.st_size - sizeof end) broken("it is cut off");
    packed = (ZSTD_inBuffer){all + about.st_size - sizeof end - end.archive, end.archive, 0};
    zstd = ZSTD_createDCtx();
    if (!zstd) fail("no memory", "", NULL);
    make_directory(tree, end.unpacked + (4 << 20));
    where = tree;
    unpack();
    setenv("_MINIPAAS_FILE", self, 1);
    start(tree, argv);
}
