// The two ends of a measured init: who starts it, and its child. Both write what they see as lines "WHAT NUMBER" into
// a file; times are of CLOCK_MONOTONIC, in nanoseconds.
//
//   probe start FILE COMMAND...        COMMAND as PID 1 of new PID and mount namespaces
//   probe limited FILE TASKS COMMAND...  COMMAND in the control group whose file TASKS is
//   probe child FILE end|idle|signal|orphans COUNT ...   further words mean nothing
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void note(const char *file, const char *what, long long number) {
    char line[80];
    int length = snprintf(line, sizeof line, "%s %lld\n", what, number);
    int out = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (out < 0 || write(out, line, length) != length) _exit(3);
    close(out);
}

static void execute(const char *file, char **command) {
    note(file, "exec", now());
    execvp(command[0], command);
    _exit(127);
}

static int watch(const char *file, pid_t child) {
    int status;
    waitpid(child, &status, 0);
    note(file, "gone", now());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int start(const char *file, char **command) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWPID | CLONE_NEWNS)) return 4;
    pid_t init = fork();
    if (init == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        mount("", "/", 0, MS_REC | MS_PRIVATE, 0);
        mount("proc", "/proc", "proc", 0, 0);
        execute(file, command);
    }
    note(file, "pid", init);
    return watch(file, init);
}

static int limited(const char *file, const char *tasks, char **command) {
    pid_t child = fork();
    if (child == 0) {
        int group = open(tasks, O_WRONLY | O_CLOEXEC);
        if (group < 0 || write(group, "0", 1) != 1) _exit(5);
        execute(file, command);
    }
    return watch(file, child);
}

static volatile long long arrived;

static void arrives(int signal) {
    (void)signal;
    arrived = now();
}

// A TERM to the init, until it arrives here.
static void measure_signal(const char *file) {
    struct sigaction action = {.sa_handler = arrives};
    sigaction(SIGTERM, &action, 0);
    long long sent = now();
    kill(getppid(), SIGTERM);
    while (!arrived && now() - sent < 1000000000LL) usleep(50);
    if (arrived) note(file, "signal", arrived - sent);
}

// Orphans that end together; how long they stay.
static void measure_orphans(const char *file, int count) {
    int hold[2], tell[2];
    pid_t *orphans = calloc(count, sizeof *orphans);
    char go[4096];
    snprintf(go, sizeof go, "%s.go", file);
    if (pipe(hold) || pipe(tell)) _exit(6);
    for (int i = 0; i < count; i++) {
        pid_t between = fork();
        if (between == 0) {
            pid_t orphan = fork();
            if (orphan == 0) {
                char byte;
                close(hold[1]);
                _exit(read(hold[0], &byte, 1) != 0);
            }
            _exit(write(tell[1], &orphan, sizeof orphan) != sizeof orphan);
        }
        waitpid(between, 0, 0);
        if (read(tell[0], orphans + i, sizeof *orphans) != sizeof *orphans) _exit(6);
    }
    note(file, "adopted", count);
    while (access(go, F_OK)) usleep(1000);
    long long from = now();
    close(hold[1]);
    int gone = 0;
    while (gone < count && now() - from < 5000000000LL) {
        if (kill(orphans[gone], 0) == 0) usleep(100);
        else gone++;
    }
    note(file, "orphans", now() - from);
    int left = 0;
    for (int i = 0; i < count; i++) left += kill(orphans[i], 0) == 0;
    note(file, "left", left);
}

static int child(long long began, const char *file, const char *what, const char *count) {
    note(file, "began", began);
    if (!strcmp(what, "signal")) measure_signal(file);
    if (!strcmp(what, "orphans")) measure_orphans(file, atoi(count));
    if (!strcmp(what, "idle")) for (;;) pause();
    note(file, "ending", now());
    return 0;
}

int main(int argc, char **argv) {
    long long began = now();
    if (argc > 3 && !strcmp(argv[1], "start")) return start(argv[2], argv + 3);
    if (argc > 4 && !strcmp(argv[1], "limited")) return limited(argv[2], argv[3], argv + 4);
    if (argc > 4 && !strcmp(argv[1], "child")) return child(began, argv[2], argv[3], argv[4]);
    return 2;
}
