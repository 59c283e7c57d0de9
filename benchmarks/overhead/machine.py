"""Describes the machine: its memory, its speed, its name."""

import contextlib
import os
import pathlib
import platform
import re
import resource
import time

import keras
import keras_hub


def peak_memory():
    """Returns the most memory that this process has held, and its kind.

    Returns:
        A pair of bytes and `"device"`, on a GPU, or `"resident"`, with
        Python and all libraries.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        stats = jax.local_devices()[0].memory_stats()
        if stats:
            return stats["peak_bytes_in_use"], "device"
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated(), "device"
    else:
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            info = tf.config.experimental.get_memory_info("GPU:0")
            return info["peak"], "device"
    return resident("VmHWM"), "resident"


def resident(name):
    """Returns resident memory, in bytes.

    `getrusage` is the second choice, for its peak may be that of the process
    that started this one.

    Args:
        name: `"VmHWM"`, the peak, or `"VmRSS"`, of now.
    """
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        found = re.search(rf"{name}:\s+(\d+) kB", status.read_text())
        return 1024 * int(found[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def matrix_rate(dtype, size=None, repeats=None):
    """Measures operations per second in products of large matrices.

    Args:
        dtype: string.
        size: optional int. Rows of a matrix. Defaults to 8192 on a GPU and
            2048 on a CPU.
        repeats: optional int. Products in a row. Defaults to 20 on a GPU and
            5 on a CPU.
    """
    on_gpu = peak_memory()[1] == "device"
    size = size or (8192 if on_gpu else 2048)
    repeats = repeats or (20 if on_gpu else 5)
    a = keras.ops.ones((size, size), dtype) / size
    fastest = float("inf")
    for _ in range(3):
        b = a
        started = time.perf_counter()
        for _ in range(repeats):
            b = keras.ops.matmul(b, a)
        keras.ops.convert_to_numpy(b[0, 0])  # waits for it
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * size**3 * repeats / fastest


def machine():
    """Returns names and versions of hardware and software, a dict."""
    name = platform.processor() or platform.machine()
    cpu = pathlib.Path("/proc/cpuinfo")
    if cpu.exists():
        found = re.search(r"model name\s*: (.*)", cpu.read_text())
        name = found[1] if found else name
    backend = keras.config.backend()
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "cores_used": len(affinity(0)) if affinity else os.cpu_count(),
        "device": device_name(),
        "python": platform.python_version(),
        "keras": keras.__version__,
        "keras_hub": keras_hub.__version__,
        backend: __import__(backend).__version__,
    }


def device_name():
    """Returns the backend's name of the device that it runs on."""
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.local_devices()[0].device_kind
    if backend == "torch":
        import torch

        on_gpu = torch.cuda.is_available()
        return torch.cuda.get_device_name() if on_gpu else "cpu"
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu"
    return tf.config.experimental.get_device_details(gpus[0])["device_name"]


def hide_gpu_from_tensorflow():
    """Keeps TensorFlow off the GPU where it is not the backend.

    KerasHub imports it on every backend, and it would take the memory.
    """
    if keras.config.backend() != "tensorflow":
        with contextlib.suppress(ImportError):
            import tensorflow as tf

            tf.config.set_visible_devices([], "GPU")
