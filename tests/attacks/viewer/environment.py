"""A granted user has the viewer, or what starts it, get variables that name code, files or servers of the user's."""

from attacks.stage import Stage

RECIPE = "fails"
STOPPED_BY = "sudo: env_reset; and viewer: the opener makes the environment anew"
NEEDS = ("Xvfb", "pgrep")
NAMES = """
    LD_LIBRARY_PATH LD_DEBUG_OUTPUT GTK_EXE_PREFIX GTK_DATA_PREFIX GTK_IM_MODULE_FILE GDK_PIXBUF_MODULEDIR GST_REGISTRY
    GST_PLUGIN_SCANNER GCONV_PATH LOCPATH NLSPATH HOSTALIASES LOCALDOMAIN RES_OPTIONS GETCONF_DIR MALLOC_TRACE
    RESOLV_HOST_CONF PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONWARNINGS PYTHONBREAKPOINT PYTHONUSERBASE
    BASH_ENV ENV SHELLOPTS BASH_FUNC_exec%% PS4 IFS PERL5LIB PERL5OPT RUBYLIB BROWSER EDITOR SUDO_EDITOR SUDO_ASKPASS
    LIBGL_DRIVERS_PATH MESA_LOADER_DRIVER_OVERRIDE LIBVA_DRIVERS_PATH VDPAU_DRIVER_PATH ALSA_CONFIG_PATH PULSE_SERVER
    PULSE_CLIENTCONFIG PIPEWIRE_CONFIG_DIR SPICE_PROXY http_proxy all_proxy SSL_CERT_FILE OPENSSL_CONF OPENSSL_MODULES
    SSLKEYLOGFILE G_MESSAGES_DEBUG SPICE_DEBUG TMPDIR XDG_DATA_HOME XDG_CACHE_HOME XLOCALEDIR XMODIFIERS KRB5_CONFIG
"""
# What the viewer needs to start at all, or what would keep it from that.
SPARED = {"http_proxy", "all_proxy", "SPICE_PROXY", "OPENSSL_CONF", "OPENSSL_MODULES", "PYTHONHOME", "GCONV_PATH"}
# The loader drops these by itself from what is not started by its own user.
OFFERED = {name: f"/home/myself/.cache/{name}" for name in NAMES.split() if name not in SPARED}


def attack(client):
    stage = Stage(client, code=False)
    stage.view(env=OFFERED)
    environ = client.machine.path(f"/proc/{stage.viewer()}/environ").read_bytes().split(b"\0")
    return sorted(name for name, value in OFFERED.items() if f"{name}={value}".encode() in environ)
