// SPDX-License-Identifier: Apache-2.0
// A store that engines share; see mock_store.h. One table of atomic words, 0 is a free one.
#include "mock_store.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mock_memory.h"

enum { STORE_SLOTS = 1 << 20, STORE_PROBES = 64 };

struct mock_store {
    _Atomic uint64_t *slots;
};

struct mock_store *mock_store_open(const char *path) {
    size_t size = STORE_SLOTS * sizeof(uint64_t);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return NULL;
    void *map = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0)
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) return NULL;
    struct mock_store *s = mock_take(1, sizeof *s);
    s->slots = map;
    return s;
}

void mock_store_close(struct mock_store *s) {
    if (!s) return;
    munmap((void *)s->slots, STORE_SLOTS * sizeof(uint64_t));
    free(s);
}

// True: it is there, or now is. Another engine may take the slot meanwhile, then the next one is tried.
static bool look(const struct mock_store *s, uint64_t hash, bool add) {
    for (size_t i = 0; i < STORE_PROBES; i++) {
        _Atomic uint64_t *slot = &s->slots[(hash + i) % STORE_SLOTS];
        uint64_t had = atomic_load(slot);
        if (!had && add && atomic_compare_exchange_strong(slot, &had, hash)) return true;
        if (had == hash) return true;
        if (!had) return false;
    }
    return false;
}

void mock_store_add(struct mock_store *s, const uint64_t *hashes, size_t n) {
    for (size_t i = 0; i < n; i++)
        look(s, hashes[i], true);
}

size_t mock_store_find(const struct mock_store *s, const uint64_t *hashes, size_t n) {
    size_t i = 0;
    while (i < n && look(s, hashes[i], false))
        i++;
    return i;
}
