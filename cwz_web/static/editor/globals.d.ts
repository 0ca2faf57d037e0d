// Scripts of packages that the page loads before the module.
import type KonvaModule from "konva";

declare global {
  const Konva: typeof KonvaModule;
  namespace Konva {
    type Group = KonvaModule.Group;
    type Image = KonvaModule.Image;
    type Transformer = KonvaModule.Transformer;
    type Transform = InstanceType<typeof KonvaModule.Transform>;
  }
  const htmx: {
    ajax: (method: string, address: string, context: { target: string; source?: Element; swap?: string }) => Promise<void>;
    process: (element: Element) => void;
  };
}
