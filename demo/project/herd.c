/* The demo's program: says how many goats there are. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("herd 1.0");
        return 0;
    }
    printf("%s goats, all of them home\n", argc > 1 ? argv[1] : "no");
    return 0;
}
