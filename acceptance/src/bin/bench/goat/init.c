// A bare init: starts one child, hands every signal on to it, collects whatever ends, and ends as the child did.
// The least that a PID 1 can cost; the figures of `./do bench goat` stand beside it.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    (void)argc;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, 0);
    pid_t child = fork();
    if (child == 0) {
        sigprocmask(SIG_UNBLOCK, &all, 0);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    for (;;) {
        int signal, status;
        sigwait(&all, &signal);
        if (signal != SIGCHLD) {
            kill(child, signal);
            continue;
        }
        pid_t ended;
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
            if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}
