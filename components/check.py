"""Everything a run was given, before anything is computed."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def check(
    pipeline: str,
    config: str,
    store: str,
    webhook: str,
    ui: str,
    api: str,
    data_version: str = "",
    items: str = "",
    remove: str = "",
    disable: str = "",
    enable: str = "",
    hours: float = 0.0,
) -> None:
    """Refuse parameters out of range, and a store that does not answer, by name and before hours of work."""
    from components.parameters import check
    from components.stage import Stage

    with Stage("check"):
        given = {"config": config, "store": store, "webhook": webhook, "ui": ui, "api": api}
        own = {
            "data_version": data_version,
            "items": items,
            "remove": remove,
            "disable": disable,
            "enable": enable,
            "hours": hours,
        }
        check(pipeline, given, own)
