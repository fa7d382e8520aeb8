/* every_call.c - makes each call that the shim stands before, below a directory, once or more.
 *
 *     every_call DIR
 *
 * The trace of a run must explain the directory that it leaves, and strace must have seen nothing
 * that the trace has not. Errors end the program: then nothing was proved. Its own name for each
 * step is printed when it fails. */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* What fortified headers make of open without a mode; declared nowhere. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

static void must(long result, const char *what) {
    if (result >= 0) return;
    perror(what);
    exit(1);
}

static void put(int fd, const char *text) {
    must(write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1, "write");
}

static void opens(void) {
    static const char text[] = "opened";
    int fds[12];
    int count = 0;
    fds[count++] = open("open", O_CREAT | O_WRONLY, 0600);
    fds[count++] = open64("open64", O_CREAT | O_WRONLY | O_EXCL, 0600);
    fds[count++] = openat(AT_FDCWD, "openat", O_CREAT | O_RDWR, 0600);
    fds[count++] = openat64(AT_FDCWD, "./openat64", O_CREAT | O_RDWR, 0600);
    fds[count++] = creat("creat", 0600);
    fds[count++] = creat64("creat64", 0600);
    fds[count++] = __open_2("open", O_WRONLY | O_TRUNC);
    fds[count++] = __open64_2("open64", O_WRONLY | O_APPEND);
    fds[count++] = __openat_2(AT_FDCWD, "openat", O_RDWR);
    fds[count++] = __openat64_2(AT_FDCWD, "openat64", O_RDWR | O_TRUNC);
    for (int i = 0; i < count; i++) {
        must(fds[i], "opens");
        put(fds[i], text);
        must(close(fds[i]), "close");
    }
    must(close(creat("open", 0600)), "creat empties");
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    int below = openat(directory, "below", O_CREAT | O_WRONLY, 0600);
    put(below, "below");
    must(close(below), "close");
    must(fsync(directory), "fsync of a directory");
    must(close(directory), "close");
}

static void made_up_names(void) {
    char names[5][32] = {"mkstemp-XXXXXX", "mkostemp-XXXXXX", "mkstemps-XXXXXX.x",
                         "mkostemps-XXXXXX.x", "mkdtemp-XXXXXX"};
    int fds[4] = {mkstemp(names[0]), mkostemp(names[1], O_APPEND), mkstemps(names[2], 2),
                  mkostemps(names[3], 2, O_SYNC)};
    for (int i = 0; i < 4; i++) {
        must(fds[i], names[i]);
        put(fds[i], names[i]);
        put(fds[i], "again");
        must(close(fds[i]), "close");
    }
    must(mkdtemp(names[4]) == NULL ? -1 : 0, names[4]);
    int nameless = open(".", O_TMPFILE | O_RDWR, 0600);
    must(nameless, "O_TMPFILE");
    put(nameless, "nameless");
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", nameless);
    must(linkat(AT_FDCWD, link, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), "linkat of a descriptor");
    must(close(nameless), "close");
}

static void writes(void) {
    char big[10000], one[] = "one", three[] = "three";
    memset(big, 'b', sizeof big);
    struct iovec parts[3] = {{one, 3}, {big, sizeof big}, {three, 5}};
    int fd = open("writes", O_CREAT | O_RDWR, 0600);
    must(fd, "open");
    must(write(fd, big, sizeof big), "write");
    must(pwrite(fd, "pwrite", 6, 100), "pwrite");
    must(pwrite64(fd, "pwrite64", 8, 20000), "pwrite64");
    must(writev(fd, parts, 3), "writev");
    must(pwritev(fd, parts, 3, 30000), "pwritev");
    must(pwritev64(fd, parts, 3, 50000), "pwritev64");
    must(pwritev2(fd, parts, 2, -1, 0), "pwritev2 at the position");
    must(pwritev64v2(fd, parts, 1, 70000, RWF_DSYNC), "pwritev64v2");
    must(pwritev2(fd, parts, 1, 0, RWF_APPEND), "pwritev2 appends");
    must(fdatasync(fd), "fdatasync");
    must(sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE), "sync_file_range");
    int append = open("writes", O_WRONLY | O_APPEND);
    must(write(append, "appended", 8), "append");
    must(pwrite(append, "too", 3, 5), "pwrite appends on Linux");
    must(lseek(fd, 0, SEEK_SET), "lseek");
    int other = open("copies", O_CREAT | O_WRONLY, 0600);
    off64_t from = 20, to = 7;
    must(copy_file_range(fd, &from, other, &to, 5000, 0), "copy_file_range");
    must(copy_file_range(fd, NULL, other, NULL, 50, 0), "copy_file_range at positions");
    off_t at = 9;
    must(sendfile(other, fd, &at, 3000), "sendfile");
    off64_t at64 = 10;
    must(sendfile64(other, fd, &at64, 3000), "sendfile64");
    int twice = dup(other);
    must(dup2(twice, 100), "dup2");
    must(dup3(twice, 101, O_CLOEXEC), "dup3");
    int third = fcntl(twice, F_DUPFD_CLOEXEC, 102);
    put(twice, "dup");
    put(100, "dup2");
    put(101, "dup3");
    put(third, "fcntl");
    for (int i = 100; i < 103; i++) must(close(i), "close");
    must(close(twice) | close(other) | close(append) | close(fd), "close");
}

static void sizes(void) {
    int fd = open("sizes", O_CREAT | O_RDWR, 0600);
    put(fd, "0123456789");
    must(ftruncate(fd, 5000), "ftruncate");
    must(ftruncate64(fd, 4000), "ftruncate64");
    must(truncate("sizes", 3000), "truncate");
    must(truncate64("sizes", 2500), "truncate64");
    must(fallocate(fd, 0, 0, 9000), "fallocate");
    must(fallocate64(fd, FALLOC_FL_KEEP_SIZE, 9000, 9000), "fallocate64");
    must(-posix_fallocate(fd, 0, 12000), "posix_fallocate");
    must(-posix_fallocate64(fd, 12000, 100), "posix_fallocate64");
    must(pwrite(fd, "late", 4, 11000), "pwrite");
    must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 4096), "punch a hole");
    must(fsync(fd), "fsync");
    must(syncfs(fd), "syncfs");
    sync();
    must(close(fd), "close");
}

static void names(void) {
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    must(mkdir("first", 0700), "mkdir");
    must(mkdirat(directory, "first/second/", 0700), "mkdirat");
    must(close(creat("first/file", 0600)), "creat");
    must(rename("first/file", "first/second/file"), "rename");
    must(renameat(directory, "first/second/file", directory, "file"), "renameat");
    must(close(creat("other", 0600)), "creat");
    must(renameat2(directory, "file", directory, "other", RENAME_EXCHANGE), "renameat2");
    must(renameat2(directory, "file", directory, "third", RENAME_NOREPLACE), "renameat2");
    must(link("third", "linked"), "link");
    must(linkat(directory, "third", directory, "first/linked", 0), "linkat");
    must(rename("third", "linked"), "rename of one file to itself");
    must(symlink("third", "symlink"), "symlink");
    must(symlinkat("nowhere", directory, "first/symlink"), "symlinkat");
    int through = open("symlink", O_WRONLY | O_TRUNC | O_CREAT, 0600);
    put(through, "through a symbolic link");
    must(close(through), "close");
    int dangling = open("first/symlink", O_WRONLY | O_CREAT, 0600);
    put(dangling, "created through a symbolic link");
    must(close(dangling), "close");
    must(rename("first/second", "moved"), "rename of a directory");
    must(close(creat("moved/inside", 0600)), "creat");
    must(unlink("moved/inside"), "unlink");
    must(unlinkat(directory, "linked", 0), "unlinkat");
    must(remove("moved"), "remove");
    must(mkdir("gone", 0700) | rmdir("gone"), "rmdir");
    must(mkdir("gone", 0700) | unlinkat(directory, "gone", AT_REMOVEDIR), "unlinkat");
    must(close(creat("again", 0600)) | remove("again"), "remove");
    must(close(creat("again", 0600)), "creat, perhaps by the same inode");
    must(fdatasync(directory), "fdatasync of a directory");
    must(close(directory), "close");
}

static void streams(void) {
    char line[32] = "";
    FILE *file = fopen("stream", "w");
    must(fprintf(file, "%d lines\n", 3), "fprintf");
    must(fputs("second\n", file), "fputs");
    must(fflush(file), "fflush");
    must(fputc('3', file), "fputc");
    must(fdatasync(fileno(file)), "fileno");
    must(fclose(file), "fclose");
    file = fopen64("stream", "a+");
    must(fputs("appended\n", file), "fputs");
    must(fseek(file, 0, SEEK_SET), "fseek");
    must(fgets(line, sizeof line, file) == NULL ? -1 : 0, "fgets");
    must(strcmp(line, "3 lines\n") == 0 ? 0 : -1, "what a stream reads");
    must(fclose(file), "fclose");
    file = fdopen(open("descriptor", O_WRONLY | O_CREAT, 0600), "w");
    for (int i = 0; i < 5000; i++) must(fprintf(file, "line %d\n", i), "fprintf");
    must(fclose(file), "fclose");
    file = fopen("left open", "wxe");
    must(fputs("written when the program exits\n", file), "fputs");
}

static void mappings(void) {
    int fd = open("mapped", O_CREAT | O_RDWR, 0600);
    must(ftruncate(fd, 10000), "ftruncate");
    char *bytes = mmap(NULL, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(bytes == MAP_FAILED ? -1 : 0, "mmap");
    memset(bytes, 'm', 5000);
    must(msync(bytes, 8192, MS_SYNC), "msync");
    memset(bytes + 6000, 'n', 100);
    must(munmap(bytes + 4096, 4096), "munmap in the middle");
    memset(bytes + 9000, 'o', 1000);
    must(fsync(fd), "fsync");
    bytes[9999] = 'p';
    must(munmap(bytes + 8192, 20000 - 8192), "munmap");
    bytes[0] = 'q';
    must(msync(bytes, 4096, MS_ASYNC), "msync");
    bytes[1] = 'r';
    bytes = mremap(bytes, 4096, 8192, MREMAP_MAYMOVE);
    must(bytes == MAP_FAILED ? -1 : 0, "mremap");
    bytes[4097] = 's';
    char *half = mmap64(bytes, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    must(half == MAP_FAILED ? -1 : 0, "mmap64 over a mapping");
    bytes[4098] = 't'; /* known at the end of the process only */
    must(close(fd), "close");
}

static void *append_lines(void *name) {
    int fd = open("threads", O_CREAT | O_WRONLY | O_APPEND, 0600);
    must(fd, "open");
    for (int i = 0; i < 200; i++) {
        put(fd, name);
        if (i % 20 == 0) must(fdatasync(fd), "fdatasync");
    }
    must(close(fd), "close");
    return NULL;
}

/* Threads and processes write to one file: only a true order of events explains it. */
static void together(void) {
    char lines[4][8] = {"first\n", "second\n", "third\n", "fourth\n"};
    pthread_t threads[2];
    pid_t child = fork();
    must(child, "fork");
    for (int i = 0; i < 2; i++)
        must(-pthread_create(&threads[i], NULL, append_lines, lines[child == 0 ? i : i + 2]),
             "thread");
    for (int i = 0; i < 2; i++) must(-pthread_join(threads[i], NULL), "join");
    if (child == 0) {
        (void)execl("/bin/sh", "sh", "-c", "echo by a shell > shell; mv shell moved-by-mv",
                    (char *)NULL);
        _exit(1);
    }
    int status = 0;
    must(waitpid(child, &status, 0), "waitpid");
    must(-status, "the child");
}

static void say_ack(void) {
    void (*mark)(const char *) = NULL;
    *(void **)&mark = dlsym(RTLD_DEFAULT, "powerloss_mark");
    if (mark != NULL) mark("by a function");
    const char *path = getenv("KH_POWERLOSS_MARK");
    FILE *file = path == NULL ? NULL : fopen(path, "a");
    if (file == NULL) return;
    must(fputs("by a stream\n", file), "fputs");
    must(fclose(file), "fclose");
    int fd = open(path, O_WRONLY | O_APPEND);
    put(fd, "by a descriptor\n");
    must(close(fd), "close");
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    must(mkdir(arguments[1], 0700), arguments[1]);
    must(chdir(arguments[1]), "chdir");
    opens();
    made_up_names();
    writes();
    sizes();
    names();
    streams();
    mappings();
    together();
    say_ack();
    return 0;
}
