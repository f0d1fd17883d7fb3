/* SPDX-License-Identifier: Apache-2.0
 *
 * eat MIB [PAUSE_MS]: take MIB of anonymous memory and touch every page of
 * it over and over, with PAUSE_MS between two passes. Each pass leaves
 * "PASSES PASS_MS" in /run/eat.PID. It ends, and gives all back, by SIGTERM.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

static void report(const char *path, long passes, long pass_ms)
{
	char line[64];
	int length = snprintf(line, sizeof(line), "%ld %ld\n", passes, pass_ms);
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (file < 0)
		return;
	if (write(file, line, length) < 0)
		perror(path);
	close(file);
}

int main(int argc, char **argv)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	long pause_ms = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;
	char path[32];
	char *memory;

	if (!size) {
		fprintf(stderr, "usage: eat MIB [PAUSE_MS]\n");
		return 2;
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	snprintf(path, sizeof(path), "/run/eat.%d", getpid());
	for (unsigned long pass = 1;; pass++) {
		long start = now_ms();

		/* A number that differs by page and pass can't be merged or
		 * dropped, and tells when a page came back wrong. */
		for (size_t at = 0; at < size; at += page) {
			unsigned long *word = (unsigned long *)(memory + at);

			if (pass > 1 && *word != at + pass - 1) {
				fprintf(stderr, "page lost at %zu\n", at);
				report("/run/eat.lost", pass, at);
				return 3;
			}
			*word = at + pass;
		}
		report(path, pass, now_ms() - start);
		usleep(pause_ms * 1000);
	}
}
