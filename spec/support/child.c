/* A hostile little program for the tests of processes. Its arguments are done one after another:
 *
 *   append FILE TEXT   one line, by one write to the end of a file
 *   write FILE TEXT    a file of this text
 *   env NAME           the variable's value (or "unset") on standard output
 *   fd                 open descriptors, then blocked and ignored signals, by number, on standard output
 *   flood N            N bytes on standard output, and as many on standard error
 *   memory N           touches N megabytes
 *   cpu N              uses N milliseconds of processor time
 *   ignore-term        SIGTERM does nothing from here
 *   trap FILE          SIGTERM writes FILE and ends the program with status 0
 *   background FILE    a child that keeps everything open and waits for ever; its number in FILE
 *   daemon FILE        the same, twice forked and in a session of its own
 *   wait FILE          until FILE is there (at most 60 seconds, then exit 99)
 *   hang               for ever
 *   signal N           ends by this signal
 *   exit N
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *trap_file;

static void die(const char *what)
{
    perror(what);
    _exit(98);
}

static void put(const char *path, int flags, const char *text)
{
    char line[4096];
    int n = snprintf(line, sizeof line, "%s\n", text);
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0666);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        die(path);
    close(fd);
}

/* The file appears whole: whoever waits for it may read it at once. */
static void put_pid(const char *path)
{
    char text[32], temporary[4096];
    snprintf(text, sizeof text, "%ld", (long)getpid());
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    put(temporary, O_TRUNC, text);
    if (rename(temporary, path) < 0)
        die(path);
}

static void on_term(int sig)
{
    (void)sig;
    int fd = open(trap_file, O_WRONLY | O_CREAT, 0666);
    if (fd >= 0)
        close(fd);
    _exit(0);
}

static void hang(void)
{
    for (;;)
        pause();
}

static void nap(void)
{
    struct timespec t = { 0, 1000000 };
    nanosleep(&t, NULL);
}

static void wait_for(const char *path)
{
    for (int i = 0; i < 60000; i++) {
        if (access(path, F_OK) == 0)
            return;
        nap();
    }
    _exit(99);
}

static void flood(long n)
{
    char block[4096];
    memset(block, 'x', sizeof block);
    for (int fd = 1; fd <= 2; fd++)
        for (long left = n; left > 0; left -= (long)sizeof block)
            if (write(fd, block, left < (long)sizeof block ? (size_t)left : sizeof block) < 0)
                die("write");
}

static void use_cpu(long milliseconds)
{
    struct timespec t;
    volatile unsigned long n = 0;
    do {
        for (int i = 0; i < 10000; i++)
            n = n + (unsigned long)i;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    } while (t.tv_sec * 1000 + t.tv_nsec / 1000000 < milliseconds);
}

static void use_memory(long megabytes)
{
    size_t size = (size_t)megabytes * 1024 * 1024;
    char *p = malloc(size);
    if (!p)
        die("malloc");
    for (size_t i = 0; i < size; i += 4096)
        ((volatile char *)p)[i] = 1;
    free(p);
}

/* "0 1 2 blocked ignored", with numbers of signals after the words. */
static void show_state(void)
{
    sigset_t blocked;
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("%d ", fd);
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    printf("blocked");
    for (int s = 1; s < 32; s++)
        if (sigismember(&blocked, s) == 1)
            printf(" %d", s);
    printf(" ignored");
    for (int s = 1; s < 32; s++) {
        struct sigaction act;
        if (sigaction(s, NULL, &act) == 0 && act.sa_handler == SIG_IGN)
            printf(" %d", s);
    }
    printf("\n");
    fflush(stdout);
}

static void leave_behind(const char *file, int twice)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        if (twice) {
            setsid();
            if (fork() != 0)
                _exit(0);
        }
        signal(SIGTERM, SIG_IGN);
        put_pid(file);
        hang();
    }
    wait_for(file);
}

static const char *argument(char **argv, int *i)
{
    if (!argv[*i + 1]) {
        fprintf(stderr, "child: %s wants an argument\n", argv[*i]);
        _exit(98);
    }
    return argv[++*i];
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *what = argv[i];
        if (strcmp(what, "append") == 0 || strcmp(what, "write") == 0) {
            const char *path = argument(argv, &i);
            put(path, what[0] == 'a' ? O_APPEND : O_TRUNC, argument(argv, &i));
        } else if (strcmp(what, "env") == 0) {
            const char *value = getenv(argument(argv, &i));
            puts(value ? value : "unset");
            fflush(stdout);
        } else if (strcmp(what, "fd") == 0) {
            show_state();
        } else if (strcmp(what, "flood") == 0) {
            flood(atol(argument(argv, &i)));
        } else if (strcmp(what, "memory") == 0) {
            use_memory(atol(argument(argv, &i)));
        } else if (strcmp(what, "cpu") == 0) {
            use_cpu(atol(argument(argv, &i)));
        } else if (strcmp(what, "ignore-term") == 0) {
            signal(SIGTERM, SIG_IGN);
        } else if (strcmp(what, "trap") == 0) {
            trap_file = argument(argv, &i);
            signal(SIGTERM, on_term);
        } else if (strcmp(what, "background") == 0 || strcmp(what, "daemon") == 0) {
            leave_behind(argument(argv, &i), what[0] == 'd');
        } else if (strcmp(what, "wait") == 0) {
            wait_for(argument(argv, &i));
        } else if (strcmp(what, "hang") == 0) {
            hang();
        } else if (strcmp(what, "signal") == 0) {
            int n = atoi(argument(argv, &i));
            signal(n, SIG_DFL);
            kill(getpid(), n);
            hang();
        } else if (strcmp(what, "exit") == 0) {
            return atoi(argument(argv, &i));
        } else {
            fprintf(stderr, "child: unknown word %s\n", what);
            return 98;
        }
    }
    return 0;
}
